"""Many mutants of the large units: of those that are not equivalent, 95 % are killed."""

import warnings

import pytest

from sterna_sim.kit.bench import default_seed
from tests.proof.units import UNITS

LARGE = {unit.name: unit for unit in UNITS if unit.large}


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_mutants(name):
    warnings.filterwarnings("ignore", message=".* created but never used")
    result = LARGE[name].score(300, default_seed())
    print(f"{result.killed} of {result.mutants - len(result.equivalent)} killed")
    print(*(f"survivor {site}" for site in result.survivors), sep="\n")
    assert result.share >= 0.95, [str(site) for site in result.survivors]
