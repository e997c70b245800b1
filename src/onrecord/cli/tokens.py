# SPDX-License-Identifier: Apache-2.0
"""The bearer token that a verb is given: by the name of a variable or of a file, never on the command line."""

import os
from argparse import Namespace

from onrecord.doors.probe_http import MAX_TOKEN, Token
from onrecord.errors import ConfigError
from onrecord.ledger.smallfile import NotSmall, read_small


def token_of(options: Namespace) -> Token | None:
    """Return the token that the options name a place of. Raises ConfigError."""
    name, file = options.token_env, options.token_file
    if name and file:
        raise ConfigError("a token is named twice: say --token-env or --token-file")
    if name:
        if not os.environ.get(name):
            raise ConfigError(f"the environment variable {name} is not set, or empty")
        return Token(os.environ[name], f"the environment variable {name}")
    if file is None:
        return None
    try:
        if os.name != "nt" and file.stat().st_mode & 0o077:
            raise ConfigError(f"{file}: can be read by other accounts; chmod 600 mends that")
        return Token(read_small(file, MAX_TOKEN).decode("ascii").strip(), str(file))
    except OSError as e:
        raise ConfigError(f"{file}: cannot be read: {os.strerror(e.errno or 0).lower()}") from e
    except (NotSmall, UnicodeDecodeError) as e:
        raise ConfigError(f"{file}: holds no token") from e
