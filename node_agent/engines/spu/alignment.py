"""Private set intersection between two owners: each learns the tokens both have, and nothing of the others."""

from pathlib import Path

from spu import libspu, psi

COLUMN = "row"
TRACE_FOLDER, TRACE_FILES = Path("/tmp"), "psi_*.trace"  # noqa: S108 - where the library leaves its timings, always


def intersect(tokens: list[str], link: libspu.link.Context, scratch: Path) -> list[str]:
    """Return the common tokens, in no particular order.

    RR22 (Raghuraman & Rindal 2022), semi-honest. The library reads and writes CSV files, here in `scratch`; they
    hold hashes of keys. RuntimeError when the other owner is lost.
    """
    given, common = scratch / "given.csv", scratch / "common.csv"
    given.write_text("\n".join([COLUMN, *tokens, ""]))
    config = psi.PsiExecuteConfig(
        protocol_conf=psi.PsiProtocolConfig(
            protocol=psi.PsiProtocol.PROTOCOL_RR22, receiver_rank=0, broadcast_result=True
        ),
        input_params=psi.InputParams(path=str(given), selected_keys=[COLUMN], keys_unique=True),
        output_params=psi.OutputParams(path=str(common), disable_alignment=True),
    )
    traces = set(TRACE_FOLDER.glob(TRACE_FILES))
    try:
        psi.psi_execute(config, link)
        return common.read_text().split()[1:]
    finally:
        for path in (given, common, *(set(TRACE_FOLDER.glob(TRACE_FILES)) - traces)):
            path.unlink(missing_ok=True)
