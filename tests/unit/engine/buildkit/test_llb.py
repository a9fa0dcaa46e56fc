from pathlib import Path

import ops_pb2 as pb
import pytest

from ci.engine.buildkit import llb
from ci.engine.buildkit.llb import Tree


def steps(definition: llb.Definition) -> list[pb.Op]:
    message = pb.Definition.FromString(definition.bytes)
    return [pb.Op.FromString(data) for data in message.__getattribute__("def")]


def test_inputs_come_before_their_users_and_the_end_names_the_result() -> None:
    tree = llb.write(Tree(), "/a/b", b"data", 0o644)
    ops = steps(llb.define(tree))
    known: set[str] = set()
    for op in ops:
        assert all(source.digest in known for source in op.inputs)
        known.add(llb.digest_of(op.SerializeToString(deterministic=True)))
    assert ops[-1].inputs[0].digest == tree.vertex.digest
    assert not ops[-1].WhichOneof("op")


def test_equal_steps_are_one() -> None:
    once = llb.write(Tree(), "/f", b"data", 0o644)
    twice = llb.write(Tree(), "/f", b"data", 0o644)
    both = llb.copy(once, twice, "/copy")
    assert once.vertex.digest == twice.vertex.digest
    assert len(steps(llb.define(both))) == 3


def test_a_long_chain_needs_no_deep_stack() -> None:
    tree = Tree()
    for number in range(3000):
        tree = llb.write(tree, "/f", str(number).encode(), 0o644)
    assert len(steps(llb.define(tree))) == 3001


def test_a_definition_knows_its_host_directories(tmp_path: Path) -> None:
    (name, path), *rest = llb.define(llb.local(tmp_path)).locals.items()
    assert path == tmp_path
    assert name.startswith("host-")
    assert not rest


def test_one_name_for_two_paths_is_refused(tmp_path: Path) -> None:
    def named(path: Path) -> Tree:
        op = pb.Op()
        op.source.identifier = "local://same"
        return Tree(llb.Vertex(op, local=("same", path), name=str(path)))

    op = pb.Op()
    action = op.file.actions.add(input=0, secondaryInput=1)
    action.copy.src = action.copy.dest = "/"
    one, two = named(tmp_path), named(tmp_path / "other")
    # Equal operations are one vertex; these differ, as two platforms of one context would.
    two.vertex.op.source.attrs["local.unique"] = "2"
    with pytest.raises(ValueError, match="two versions of the build context same"):
        llb.define(Tree(llb.Vertex(op, one.output + two.output)))


def test_an_empty_tree_is_an_empty_definition() -> None:
    assert steps(llb.define(Tree())) == []


def test_what_a_frontend_answers_for_from_scratch() -> None:
    assert llb.from_frontend({"def": {}}, lambda vertex: vertex) == Tree()


def test_what_depends_on_a_session_is_taken_out_of_a_frontends_answer() -> None:
    document = {
        "def": {
            "sha256:end": {"inputs": [{"digest": "sha256:copy", "index": 0}]},
            "sha256:copy": {
                "inputs": [{"digest": "sha256:source"}],
                "file": {"actions": [{"input": "-1", "copy": {"src": "/x", "dest": "/x"}}]},
            },
            "sha256:source": {
                "source": {
                    "identifier": "local://context",
                    "attrs": {"local.session": "abc", "local.followpaths": '["x"]'},
                }
            },
        },
        "metadata": {
            "sha256:copy": {
                "description": {"llb.customname": "COPY x"},
                "caps": {"file.base": True},
            }
        },
    }
    tree = llb.from_frontend(document, lambda vertex: vertex)
    assert tree.vertex.name == "COPY x"
    assert tree.vertex.caps == ("file.base",)
    source = tree.vertex.inputs[0][0].op.source
    assert dict(source.attrs) == {"local.followpaths": '["x"]'}
