"""Lua as Argo CD runs it: version 5.1 with its base, `package` and `table`, and of `os` only `time` and `date`, by `require` alone.

Argo CD's own code judges too (`test_argo_code.py`); this one is fast enough to judge every status that the operator can write.
"""

from typing import Any

from lupa.lua51 import LuaRuntime, lua_type

_SANDBOX = """
local date, time = os.date, os.time
for name in pairs(_G) do
  if name == "io" or name == "os" or name == "string" or name == "math" or name == "debug" or name == "coroutine" then
    package.loaded[name] = nil
  end
end
io, os, string, math, debug, coroutine, dofile, loadfile, python = nil
getmetatable("").__index = nil
package.preload["os"] = function() return {date = date, time = time} end
"""


class Script:
    """One script, compiled once for each object: what a script leaves behind is gone with it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, obj: Any, **parameters: str) -> Any:
        lua = LuaRuntime(unpack_returned_tuples=True, register_eval=False, register_builtins=False)
        lua.execute(_SANDBOX)
        lua.globals().obj = _table(lua, obj)
        lua.globals().actionParams = _table(lua, parameters)
        return _value(lua.execute(self.text))


def _table(lua: LuaRuntime, value: Any) -> Any:
    match value:
        case dict():
            # Lua knows no null: a key without a value is no key.
            return lua.table_from({key: _table(lua, each) for key, each in value.items() if each is not None})
        case list() | tuple():
            return lua.table_from([_table(lua, each) for each in value])
    return value


def _value(value: Any) -> Any:
    """As Argo CD encodes it: a table without keys is a list."""
    if lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if all(isinstance(key, int) for key in keys):
        return [_value(value[key]) for key in sorted(keys)]
    return {key: _value(value[key]) for key in keys}


def health(script: Script, obj: Any) -> tuple[str, str]:
    """Status and message."""
    said = script(obj)
    return said["status"], said["message"]


def mended(new: Any, old: Any) -> Any:
    """What Argo CD makes of a changed object: an empty table is a map where it was one before."""
    match new, old:
        case [], dict():
            return {}
        case dict(), dict():
            return {key: mended(value, old.get(key)) for key, value in new.items()}
        case list(), list():
            return [mended(value, old[at] if at < len(old) else None) for at, value in enumerate(new)]
    return new
