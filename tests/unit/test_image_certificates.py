"""Certificates by the image of an endpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from novnc_endpoint_image.certificates import main
from novnc_image.environment import BAD_VALUE


@pytest.mark.parametrize(
    "arguments",
    [
        ["--client", "ca"],
        ["--client", "./ca"],
        ["--client", "servers/kvm1"],
        ["--client", ""],
        ["--server", "../ca"],
        ["--server", "=192.0.2.2"],
    ],
)
def test_no_certificate_takes_the_place_of_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    main([str(tmp_path), "--server", "kvm1", "--client", "gw1"])
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    capsys.readouterr()
    with pytest.raises(SystemExit) as refused:
        main([str(tmp_path), *arguments])
    assert refused.value.code == BAD_VALUE
    said = capsys.readouterr().err
    assert "cannot be the name of a " in said
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before


def test_a_server_may_be_called_as_the_authority(tmp_path: Path) -> None:
    main([str(tmp_path), "--server", "ca"])
    assert (tmp_path / "servers" / "ca.crt").read_bytes() != (tmp_path / "ca.crt").read_bytes()
