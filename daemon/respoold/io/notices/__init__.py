"""Who can know that this machine, or a job on it, will end soon. One small door per source, all alike:

    async def watch(self, tell: Tell) -> NoReturn

It asks for ever, each in its own way, and calls `tell` with a Foreseen or a Withdrawn. A source that cannot be
reached says nothing and asks again, more and more slowly; none of them ever raises.
"""
