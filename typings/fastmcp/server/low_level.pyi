from fastmcp import FastMCP

class LowLevelServer:
    @property
    def fastmcp(self) -> FastMCP: ...
