"""Rules and a study → a decision with its reasons. Pure: values in, values out.

rules           Route, InputSpec, PipelineInputs; which attributes they read
values          one test on one element's values: what equal, at least, absent … mean
evaluate        a condition on a series, with a reason for each part
wording         the same in words, without anything of the patient
images          which SOP Classes are no images
selection       the best series for an input, and why; no series for two inputs
decide          all of it together: route and study → RouteDecision
contradictions  rules that can never match
"""
