"""The budget calculator: the table says what `costs.estimate` computes, and follows its fields."""

import html

import pytest

from lecturekit.labels import costs
from lecturekit.widgets.budget import KINDS, Budget, Project, budget_html


def test_hours_by_hand():
    found = Project(images=100, objects=3, classes=20).estimates()
    assert list(found) == list(KINDS)
    assert found["image_class"].hours == pytest.approx(100 * 20 / 3600)
    assert found["box_extreme"].hours == pytest.approx(100 * (3 * 7 + 20) / 3600)
    assert found["dense_mask"].hours == pytest.approx(150)
    double = Project(images=100, objects=3, classes=20, votes=2).estimates()
    assert double["outline"].hours == pytest.approx(2 * found["outline"].hours)


def test_every_row_of_the_table_and_its_numbers():
    table = budget_html(Project(images=1000))
    assert table.count("<tr>") == 1 + len(KINDS)
    for kind in KINDS:
        assert html.escape(costs.KINDS[kind]) in table
    assert '<td style="text-align: left">1,500</td>' in table
    assert "1,000 images, 2.5 objects an image" in table
    assert table.count("(assumed)") == 1


def test_fields_move_the_table_and_the_project():
    budget = Budget(Project(images=10))
    before = budget.table.value
    budget.fields["images"].value = 20
    budget.fields["review"].value = True
    assert budget.project == Project(images=20, review=True)
    assert budget.table.value == budget_html(budget.project) != before
    bundle = budget._repr_mimebundle_()
    data = bundle[0] if isinstance(bundle, tuple) else bundle
    assert budget.table.value in data["text/html"]
    assert "20 images" in data["text/plain"]


@pytest.mark.parametrize("change", [{"images": 0}, {"objects": -1}, {"classes": 0}, {"votes": 1.5}])
def test_projects_that_cannot_be_are_refused(change):
    with pytest.raises((ValueError, TypeError), match=next(iter(change))):
        Project(**change).estimates()


@pytest.mark.parametrize("name", ["images", "objects", "classes", "votes"])
def test_a_number_that_cannot_be_is_named_and_the_table_stays(name):
    budget = Budget()
    before = budget.table.value
    budget.fields[name].value = -3
    assert name in budget.fault.value
    assert "-3" in budget.fault.value
    assert budget.table.value == before
    budget.fields[name].value = 3
    assert budget.fault.value == ""
    assert budget.table.value != before


def test_one_is_one_and_next_to_nothing_is_said_in_words():
    table = budget_html(Project(images=1, objects=1, classes=1))
    assert "1 image, 1 object an image, 1 class, 1 vote, without checks" in table
    assert "under 0.01" in table
    assert "e-0" not in table
