"""The own table of species, drawing from it, and the Mammal Diversity Database's CSV."""

from __future__ import annotations

import numpy as np
import pytest

from lerf_wild.animals import species as kinds
from lerf_wild.animals.quadruped.anatomy import SPECIES
from lerf_wild.errors import InputError

HEADER = "sciName,mainCommonName,superorder,order,infraorder,family,extinct\n"
ROWS = (
    "Vulpes_vulpes,Red Fox,Laurasiatheria,Carnivora,NA,Canidae,0\n"
    "Cervus_elaphus,,LAURASIATHERIA,ARTIODACTYLA,NA,CERVIDAE,0\n"
    "Erinaceus_europaeus,West European Hedgehog,Laurasiatheria,Eulipotyphla,NA,Erinaceidae,0\n"
    "Phoca_vitulina,Harbour Seal,Laurasiatheria,Carnivora,NA,Phocidae,0\n"
    "Orcinus_orca,Orca,Laurasiatheria,Artiodactyla,Cetacea,Delphinidae,0\n"
    "Myotis_myotis,Greater Mouse-eared Bat,Laurasiatheria,Chiroptera,NA,Vespertilionidae,0\n"
    "Bos_primigenius,Aurochs,Laurasiatheria,Artiodactyla,NA,Bovidae,1\n"
    "Mus_musculus,House Mouse,Euarchontoglires,Rodentia,NA,Muridae,0\n"
)


def test_the_table_is_whole():
    table = kinds.load_species()
    assert len(table) >= 60 and len({kind.name for kind in table}) == len(table)
    for kind in table:
        assert kind.order in ("Carnivora", "Artiodactyla", "Perissodactyla")
        assert kind.base in SPECIES and 0.1 < kind.height_m < 4 and kind.coat is not None
        assert len(kind.factors) == len(kinds.FACTORS)
        assert all(0.1 <= factor <= 4 for factor in kind.factors)


def test_names_are_found_in_any_case():
    assert kinds.species_named("Red  DEER").scientific == "Cervus elaphus"
    assert kinds.species_named("okapia johnstoni").name == "okapi"
    with pytest.raises(InputError, match="unicorn"):
        kinds.species_named("unicorn")


def test_half_of_the_drawn_are_dogs():
    rng = np.random.default_rng(0)
    drawn = [kinds.draw_species(rng) for _ in range(2000)]
    assert abs(np.mean([kind.is_dog for kind in drawn]) - 0.5) < 0.04
    assert {kind.name for kind in drawn} == {kind.name for kind in kinds.load_species()}
    only = [kind for kind in kinds.load_species() if not kind.is_dog]
    assert not kinds.draw_species(rng, only).is_dog
    with pytest.raises(InputError, match="no species to draw"):
        kinds.draw_species(rng, [])


def test_mammal_diversity_keeps_the_group_alone(tmp_path):
    path = tmp_path / "MDD.csv"
    path.write_text(HEADER + ROWS, encoding="utf-8")
    found = kinds.read_mammal_diversity(path)
    assert [kind.name for kind in found] == ["red fox", "Cervus elaphus"]
    assert (found[1].order, found[1].family) == ("Artiodactyla", "Cervidae")
    everything = kinds.read_mammal_diversity(path, walking_only=False)
    assert {kind.name for kind in everything} >= {"harbour seal", "orca"} and len(everything) == 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"name,order\nfox,Carnivora\n", "lacks the columns"),
        (HEADER.encode() + ROWS.encode()[-70:], "no species"),
        (b"\xff\xfe\x00sciName", "UTF-8"),
        (b"", "lacks the columns"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "MDD.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        kinds.read_mammal_diversity(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv"):
        kinds.read_mammal_diversity(tmp_path / "none.csv")
