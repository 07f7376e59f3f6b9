"""What people see and say: worklist, review page, forms, accounts; and what watches the numbers.

Made once, in this order:

    options.py         where and how the pages are served
    web.py             create_app(): all pages as one ASGI application
    server.py          serves it until told to stop
    site.py            what every page shares
    shield.py          headers, body size, where a post came from

Ways in:

    links.py           signed links of the PACS
    invoke.py          IHE Invoke Image Display (RAD-106)
    login_pages.py     local accounts; passwords.py, throttle.py, tokens.py
    auth.py            sessions

Pages:

    worklist.py        the list and its search
    desk.py            where every page of a study starts
    study_pages.py     the page of one study; review.py gathers it, status.py finds the words
    picture_pages.py   frames and masks; pictures.py reads them, banner.py the patient
    answers.py         feedback; forms.py checks it

Drift:

    drift_stats.py     statistics (pure)
    drift_sweep.py     computes and stores points; drift_schedule.py runs it
    drift_page.py      the page; drift_view.py gathers it, charts.py draws it as SVG
"""
