"""The story of the product, played from outside and head-less: steps 0 to 4, each with its outcome.

Public surface: :func:`play`, :class:`Stage`, :class:`Differs`.
"""

from apps.demo.story.stage import Differs, Stage


def play(stage: Stage) -> None:
    """All steps in order. Raises :class:`Differs` with the first sentence that does not hold."""
    from apps.demo.story import closing, invoicing, unmapped, validating

    for step in (*validating.STEPS, *closing.STEPS, *invoicing.STEPS, *unmapped.STEPS):
        stage.run(step)


__all__ = ["Differs", "Stage", "play"]
