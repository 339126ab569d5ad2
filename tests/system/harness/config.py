"""Configuration text for holdfastd."""

# A port that no rule of the host is likely to name: the tests may run beside the host's holdfastd.
PORT = 23306


def rule(name: str, destination: str = "any", port: int | str = PORT, **keys: object) -> str:
    """Returns a rule's section; `user_timeout=` writes the key `user-timeout`."""
    lines = [f"[rule {name}]", f"destination = {destination}", f"port = {port}"]
    lines += [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()]
    return "\n".join(lines) + "\n\n"


def daemon(**keys: object) -> str:
    """Returns the [daemon] section; `metrics_textfile=` writes the key `metrics-textfile`."""
    lines = [f"{key.replace('_', '-')} = {value}" for key, value in keys.items()]
    return "\n".join(["[daemon]", *lines]) + "\n\n"
