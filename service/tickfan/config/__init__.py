"""What an operator sets: the settings, their limits, and how they are read.

Must not know aiohttp, a broker's implementation or the hub. It hands out plain values, and
each part takes those that it needs.
"""

from tickfan.config.feeds import ConflatedFeed, FeedSettings, LosslessFeed
from tickfan.config.load import ConfigError, load
from tickfan.config.sections import (
    STOP_MARGIN_S,
    BrokerSettings,
    HttpSettings,
    LogSettings,
    MarketSettings,
    PublishSettings,
    StopSettings,
    StreamSettings,
)
from tickfan.config.settings import Settings

__all__ = [
    "STOP_MARGIN_S",
    "BrokerSettings",
    "ConfigError",
    "ConflatedFeed",
    "FeedSettings",
    "HttpSettings",
    "LogSettings",
    "LosslessFeed",
    "MarketSettings",
    "PublishSettings",
    "Settings",
    "StopSettings",
    "StreamSettings",
    "load",
]
