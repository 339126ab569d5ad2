"""Configuration text for holdfastd."""

# No host's rules are likely to name it: the tests run beside a holdfastd of the host.
PORT = 23306


def rule(name: str, destination: str = "any", port: int | str = PORT, **keys: object) -> str:
    """A rule's section; `user_timeout=` writes the key `user-timeout`."""
    lines = [f"[rule {name}]", f"destination = {destination}", f"port = {port}"]
    lines += [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n\n"


def daemon(**keys: object) -> str:
    """The [daemon] section; `metrics_textfile=` writes the key `metrics-textfile`."""
    lines = [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()]
    return "\n".join(["[daemon]", *lines]) + "\n\n"
