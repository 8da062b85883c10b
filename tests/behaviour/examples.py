"""How many examples hypothesis draws where each of them goes to a database."""

from hypothesis import HealthCheck, Phase, settings


def examples(count: int) -> settings:
    """Settings for `count` examples; as many times more as the profile draws than the default."""
    return settings(
        max_examples=count * max(1, settings.default.max_examples // 100),
        deadline=None,
        phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
