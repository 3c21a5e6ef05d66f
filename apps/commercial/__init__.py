"""What was sold and at what price: engagements, terms versions, rate cards and the answer to "which rate applies?".

Public surface: :mod:`apps.commercial.services`, :mod:`apps.commercial.selectors`, :mod:`apps.commercial.filters`,
:mod:`apps.commercial.errors`.
"""
