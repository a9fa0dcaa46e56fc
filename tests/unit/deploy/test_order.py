"""Which stack comes before which: pure, and the project's own stacks as the seed has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit.templates import ROOT

from ci import cfn_yaml
from ci.deploy.order import Links, before, for_deletion, links, ordered
from ci.errors import InputError
from ci.package import stacks
from ci.package.templates import Template

PSEUDO = {"AWS::Region": "us-east-1", "AWS::AccountId": "123456789012", "AWS::Partition": "aws"}


def template(text: str, *nested: tuple[str, str]) -> Template:
    children = tuple(
        (("Resources", name, "Properties", "TemplateURL"), template(child))
        for name, child in nested
    )
    return Template(Path("template.yaml"), cfn_yaml.load(text), (), children)


def of(text: str, *nested: tuple[str, str], **given: str) -> Links:
    return links("it", template(text, *nested), given, PSEUDO)


def test_imports_and_exports_are_read_through_expressions() -> None:
    found = of(
        """
        Parameters: {pEnvironment: {Type: String, Default: dev}}
        Resources:
          rA:
            Type: AWS::SQS::Queue
            Properties:
              KmsMasterKeyId: {'Fn::ImportValue': !Sub '${pEnvironment}-Key'}
              Tags: [{Key: a, Value: !Sub ['x-${B}', {B: !ImportValue dev-Bucket}]}]
        Outputs:
          oUrl: {Value: !Ref rA, Export: {Name: !Join ['-', [!Ref pEnvironment, Url]]}}
          oQuiet: {Value: x}
        """,
        pEnvironment="stg",
    )
    assert found.imports == {"stg-Key", "dev-Bucket"}
    assert found.exports == {"stg-Url"}


def test_what_a_condition_rules_out_links_nothing() -> None:
    text = """
    Parameters: {pGlue: {Type: String, Default: ''}}
    Conditions: {Glue: !Not [!Equals [!Ref pGlue, '']]}
    Resources:
      rA: {Type: AWS::SQS::Queue, Condition: Glue, Properties: {Q: !ImportValue a}}
      rB: {Type: AWS::SQS::Queue, Properties: {Q: !If [Glue, !ImportValue b, !ImportValue c]}}
    Outputs:
      oA: {Condition: Glue, Value: x, Export: {Name: d}}
    """
    without, with_glue = of(text), of(text, pGlue="job")
    assert (without.imports, without.exports) == ({"c"}, set())
    assert (with_glue.imports, with_glue.exports) == ({"a", "b"}, {"d"})


@pytest.mark.parametrize(
    "reader",
    [
        "Parameters: {pQ: {Type: 'AWS::SSM::Parameter::Value<String>',"
        " Default: /DataLake/a/Url}}\nResources: {r: {Type: T}}",
        "Parameters: {pQ: {Type: 'AWS::SSM::Parameter::Name', Default: /DataLake/a/Url}}\n"
        "Resources: {r: {Type: T}}",
        "Resources: {r: {Type: T, Properties: {U: '{{resolve:ssm:/DataLake/a/Url}}'}}}",
        "Resources: {r: {Type: T, Properties: {U: 'x-{{resolve:ssm:/DataLake/a/Url:3}}'}}}",
        "Parameters: {pTeam: {Type: String, Default: a}}\nResources: {r: {Type: T,"
        " Properties: {U: !Sub '{{resolve:ssm-secure:/DataLake/${pTeam}/Url}}'}}}",
    ],
)
def test_parameters_of_ssm_are_read_in_every_way(reader: str) -> None:
    writer = """
    Parameters: {pTeam: {Type: String, Default: a}}
    Resources:
      rUrl: {Type: AWS::SSM::Parameter, Properties: {Name: !Sub '/DataLake/${pTeam}/Url'}}
    """
    assert of(reader).reads >= {"/DataLake/a/Url"}
    assert of(writer).declares == {"/DataLake/a/Url"}


def test_a_given_value_of_an_ssm_parameter_counts_before_its_default() -> None:
    text = "Parameters: {pQ: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /old}}"
    assert of(f"{text}\nResources: {{r: {{Type: T}}}}", pQ="/new").reads == {"/new"}


def test_nested_stacks_link_with_the_values_that_they_are_given() -> None:
    found = of(
        """
        Parameters: {pEnvironment: {Type: String}}
        Resources:
          rChild:
            Type: AWS::CloudFormation::Stack
            Properties: {TemplateURL: u, Parameters: {pName: !Sub '${pEnvironment}-Key'}}
        """,
        ("rChild", "Parameters: {pName: {Type: String}}\n"
         "Resources: {r: {Type: T, Properties: {K: {'Fn::ImportValue': !Ref pName}}}}"),
        pEnvironment="stg",
    )  # fmt: skip
    assert found.imports == {"stg-Key"}


def test_loops_are_written_out() -> None:
    found = of("""
    Transform: AWS::LanguageExtensions
    Resources:
      Fn::ForEach::Queues:
        - Name
        - [one, two]
        - r${Name}: {Type: T, Properties: {K: !ImportValue 'key-${Name}'}}
    """)
    assert found.imports == {"key-one", "key-two"}


def test_what_only_the_deployment_tells_links_nothing() -> None:
    found = of("Resources: {r: {Type: T, Properties: {K: !ImportValue {Ref: rOther}}}}")
    assert found.imports == set()


def own_links() -> list[Links]:
    """Of the project's own stacks."""
    return [
        links(stack.name, stack.template, stack.parameters.values, PSEUDO)
        for stack in stacks.read(ROOT, "dev")
    ]


def test_the_own_stacks_are_deployed_as_the_pipeline_does() -> None:
    needs = before(own_links())
    assert ordered(needs) == [
        "common-cloudformation", "stagea", "stageb", "sdlf-engineering-meteorites",
    ]  # fmt: skip
    assert needs["stagea"].keys() == {"common-cloudformation"}
    assert needs["stageb"].keys() == {"common-cloudformation"}
    reasons = needs["sdlf-engineering-meteorites"]
    assert reasons.keys() == {"common-cloudformation", "stageb"}
    assert reasons["stageb"] == "imports dev-engineering-StageBRoutingFunctionArn"


def test_the_own_stacks_are_deleted_as_their_imports_allow_else_in_the_seeds_order() -> None:
    """The seed deletes common-cloudformation first, which the others import from."""
    assert for_deletion(before(own_links())) == [
        "stagea", "sdlf-engineering-meteorites", "stageb", "common-cloudformation",
    ]  # fmt: skip


def link(name: str, *needs: str, exports: bool = True) -> Links:
    return Links(name, frozenset({name} if exports else ()), frozenset(needs))


def test_any_order_of_the_input_gives_the_same() -> None:
    stacks_given = [link("d", "b"), link("c", "a"), link("b", "a"), link("a"), link("e")]
    for given in (stacks_given, stacks_given[::-1]):
        assert ordered(before(given)) == ["a", "b", "c", "d", "e"]


def test_a_stack_may_use_what_it_gives_itself_and_what_strangers_give() -> None:
    assert before([link("a", "a", "elsewhere")]) == {"a": {}}


def test_a_circle_is_told_with_every_link_of_it() -> None:
    nothing = frozenset[str]()
    b = Links("b", frozenset({"b"}), nothing, frozenset({"/q"}), frozenset({"/p"}))
    c = Links("c", frozenset({"c"}), nothing, frozenset({"/p"}), frozenset({"/q"}))
    needs = before([link("a", "b"), b, c, link("d", "a")])
    with pytest.raises(InputError) as raised:
        ordered(needs)
    assert raised.value.where == "stacks b, c"
    assert "b reads /p of c; c reads /q of b" in raised.value.what
    assert "d" not in raised.value.where


def test_two_stacks_that_give_the_same_name() -> None:
    with pytest.raises(InputError, match=r"stacks a and b: both export key") as raised:
        before([Links("a", frozenset({"key"})), Links("b", frozenset({"key"}))])
    assert raised.value.fix


def test_five_hundred_stacks_are_ordered_in_a_moment() -> None:
    import time

    many = [link(f"s{n:03}", *(f"s{m:03}" for m in range(max(0, n - 3), n))) for n in range(500)]
    began = time.monotonic()
    assert ordered(before(many)) == [stack.name for stack in many]
    assert time.monotonic() - began < 2
