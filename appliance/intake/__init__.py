"""From the spool to queued jobs.

options       what intake is told
elements      elements of a data set → attributes that rules read
headers       files → summaries
scan          the same for many files, fast; a bounded cache of them
folder        the same for a folder that was never received
patient       PatientID, and who the patient is, as keyed hashes
facts         from a header to what the index is told
compare       two versions of one instance: one image or two?
indexer       hand-over 2: spool entries become rows
telling       what the indexer tells, a line a series
library       a stored study as rules see it
expected      how many images a series' own headers announce (pure)
counting      how many images a peer counts; asked rarely
bulletins     notices of procedure steps and available instances become rows
arrival       what is here of one series
standing      what steps and notifications mean for a route's series (pure)
completion    are a route's inputs complete at this moment? (pure)
age           a study's age against max_age (pure)
judge         routing and age together: one code path for the loop and for `explain` (pure)
closing       one open route: waits, is held, or closes; hand-over 3: queued
late          images that came after a route's jobs were queued
orchestrator  the loop's body
explain       decisions as text and as JSON
retention     images that nobody needs any more are deleted
"""
