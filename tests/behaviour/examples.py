"""How many examples hypothesis draws where each of them goes to a database."""

from hypothesis import HealthCheck, Phase, settings


def examples(count: int, *, steps: int = 50) -> settings:
    """Settings for `count` examples, of so many steps where they have steps.

    `pytest --hypothesis-profile=thorough` draws as many times more as it does elsewhere.
    """
    return settings(
        max_examples=count * max(1, settings().max_examples // 100),
        stateful_step_count=steps,
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
