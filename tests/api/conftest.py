from tests.web.conftest import anonymous, api, clock, ctx, listening, people, server, web_settings

__all__ = ["anonymous", "api", "clock", "ctx", "listening", "people", "server", "web_settings"]
