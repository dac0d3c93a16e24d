"""Our tree, proofs and notes against RFC 6962's vectors, pymerkle, Go's signed note, and mutations."""

import base64
import hashlib
import os

import pymerkle
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from audit.sealing.signing import SigningKey
from audit.verifier import proofs
from audit.verifier.notes import Checkpoint, NoteError, VerifierKey, read_checkpoint, read_note
from audit.verifier.proofs import CompactRange, Node, ProofError
from tests.audit.support import OTHER_SIGNING_KEY, SIGNING_KEY
from tests.plugins.scale import count

# Leaves and roots of the trees of 1 to 8 of them: certificate-transparency's own vectors for RFC 6962.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
# From the tests of golang.org/x/mod/sumdb/note, whose format C2SP signed-note writes down.
GO_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    GO_TEXT
    + "\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)

SOAK = os.environ.get("FORGE_SOAK", "0")
KEY = SigningKey.load(SIGNING_KEY)
ORIGIN = "forge.test/audit"
KNOWN = [KEY.verifier(ORIGIN)]


class Tree:
    """A tree in memory that answers as the stored one does."""

    def __init__(self, data):
        self.hashes = {}
        self.range = CompactRange()
        for number, one in enumerate(data):
            leaf = proofs.leaf_hash(one)
            self.hashes[Node(0, number)] = leaf
            self.hashes.update(self.range.append(leaf))

    def root(self, size):
        return self.of(0, size) if size else proofs.EMPTY_ROOT

    def of(self, start, end):
        hashed, *lefts = [self.hashes[node] for node in reversed(proofs.covering(start, end))]
        for left in lefts:
            hashed = proofs.node_hash(left, hashed)
        return hashed

    def inclusion(self, index, size):
        return [self.of(*one) for one in proofs.inclusion_ranges(index, size)]

    def consistency(self, old, new):
        return [self.of(*one) for one in proofs.consistency_ranges(old, new)] if old else []


def numbered(count):
    return [number.to_bytes(4) for number in range(count)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_rfc_6962(size):
    tree = Tree(LEAVES[:size])
    assert tree.range.root().hex() == ROOTS[size - 1] == tree.root(size).hex()


def test_an_empty_tree_has_the_root_of_nothing():
    assert CompactRange().root() == hashlib.sha256(b"").digest()


@given(st.integers(1, 140))
@settings(max_examples=25)
def test_roots_and_paths_are_pymerkles(size):
    theirs, ours = pymerkle.InmemoryTree(algorithm="sha256"), Tree(numbered(size))
    for one in numbered(size):
        theirs.append_entry(one)
    for index in range(size):
        path = ours.inclusion(index, size)
        proof = theirs.prove_inclusion(index + 1)
        leaf = proofs.leaf_hash(numbered(size)[index])
        assert theirs.get_root() == ours.root(size)
        pymerkle.verify_inclusion(leaf, ours.root(size), proof)
        assert sorted([leaf, *path]) == sorted(proof.path)
        proofs.verify_inclusion(leaf=leaf, index=index, size=size, path=path, root=theirs.get_root())
    for old in range(1, size):
        assert theirs.get_root(old) == ours.root(old)
        path = ours.consistency(old, size)
        proofs.verify_consistency(
            old=old, old_root=theirs.get_root(old), new=size, new_root=theirs.get_root(), path=path
        )
        # Theirs is cut into other pieces; it must lead to our roots.
        pymerkle.verify_consistency(ours.root(old), ours.root(size), theirs.prove_consistency(old, size))


@given(st.integers(1, 5000), st.data())
def test_every_proof_is_short_and_holds(size, data):
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    tree = Tree(numbered(size))
    path, between = tree.inclusion(index, size), tree.consistency(old, size)
    proofs.verify_inclusion(
        leaf=proofs.leaf_hash(index.to_bytes(4)), index=index, size=size, path=path, root=tree.root(size)
    )
    proofs.verify_consistency(old=old, old_root=tree.root(old), new=size, new_root=tree.root(size), path=between)
    assert len(path) <= size.bit_length()
    assert len(between) <= size.bit_length() + 1


TREE_SIZE = 300
TREE = Tree(numbered(TREE_SIZE))


def mutated(data, path):
    """Another path: a bit turned, a hash more or less, two exchanged, or a hash doubled."""
    path, kind = list(path), data.draw(st.sampled_from(["bit", "less", "more", "swap", "double"]))
    at = data.draw(st.integers(0, max(len(path) - 1, 0)))
    if kind == "more" or not path:
        path.insert(at, data.draw(st.binary(min_size=32, max_size=32)))
    elif kind == "bit":
        bit = data.draw(st.integers(0, 255))
        path[at] = (int.from_bytes(path[at]) ^ 1 << bit).to_bytes(32)
    elif kind == "less":
        del path[at]
    elif kind == "swap":
        path[at], path[-1] = path[-1], path[at]
    else:
        path.insert(at, path[at])
    return path


@pytest.mark.soak
@given(st.integers(1, TREE_SIZE), st.data())
@settings(max_examples=count(2500, 50, soak=SOAK))
def test_no_mutated_inclusion_proof_is_accepted(size, data):
    index = data.draw(st.integers(0, size - 1))
    leaf, root, path = proofs.leaf_hash(index.to_bytes(4)), TREE.root(size), TREE.inclusion(index, size)
    what = data.draw(st.sampled_from(["path", "index", "leaf", "root", "size"]))
    claim = {"leaf": leaf, "index": index, "size": size, "path": path, "root": root}
    if what == "path":
        claim["path"] = mutated(data, path)
    elif what == "index":
        claim["index"] = data.draw(st.integers(-2, size + 2))
    elif what == "size":
        claim["size"] = data.draw(st.integers(-2, 2 * TREE_SIZE))
        # The path does not tell every two sizes apart, the signed checkpoint binds size and root together.
        assume(_way(index, claim["size"]) != _way(index, size))
    else:
        claim[what] = data.draw(st.binary(min_size=31, max_size=33))
    assume(claim != {"leaf": leaf, "index": index, "size": size, "path": path, "root": root})
    with pytest.raises(ProofError):
        proofs.verify_inclusion(**claim)


def _way(index, size):
    """On which sides the hashes of a path stand; None where there is no such leaf."""
    if not 0 <= index < size:
        return None
    return [start < index for start, _ in proofs.inclusion_ranges(index, size)]


def _steps(old, new):
    """What RFC 9162 2.1.4.2 does with each hash of a path between the sizes; None where there is no such path."""
    if not 0 < old < new:
        return None
    low, high = old - 1, new - 1
    while low & 1:
        low, high = low >> 1, high >> 1
    steps = ["seed" if low else "whole"]
    while high:
        steps.append("left" if low & 1 or low == high else "right")
        if steps[-1] == "left":
            while low and not low & 1:
                low, high = low >> 1, high >> 1
        low, high = low >> 1, high >> 1
    return steps


@pytest.mark.soak
@given(st.integers(2, TREE_SIZE), st.data())
@settings(max_examples=count(2500, 50, soak=SOAK))
def test_no_mutated_consistency_proof_is_accepted(size, data):
    old = data.draw(st.integers(1, size - 1))
    true = {
        "old": old,
        "old_root": TREE.root(old),
        "new": size,
        "new_root": TREE.root(size),
        "path": TREE.consistency(old, size),
    }
    claim = dict(true)
    what = data.draw(st.sampled_from(["path", "old_root", "new_root", "old", "new"]))
    if what == "path":
        claim["path"] = mutated(data, true["path"])
    elif what in ("old", "new"):
        claim[what] = data.draw(st.integers(-2, 2 * TREE_SIZE))
        # As above: where the same steps lead to the same roots, it is the signed sizes that tell.
        assume(_steps(claim["old"], claim["new"]) != _steps(old, size))
    else:
        claim[what] = data.draw(st.binary(min_size=31, max_size=33))
    assume(claim != true)
    with pytest.raises(ProofError):
        proofs.verify_consistency(**claim)


def test_a_tree_that_was_rewritten_has_no_consistency_proof():
    rewritten = Tree([b"other", *numbered(TREE_SIZE)[1:]])
    for old in (1, 2, 5, 64, 100, 256, 299):
        with pytest.raises(ProofError):
            proofs.verify_consistency(
                old=old,
                old_root=TREE.root(old),
                new=TREE_SIZE,
                new_root=rewritten.root(TREE_SIZE),
                path=rewritten.consistency(old, TREE_SIZE),
            )


def test_a_note_of_go_is_read_and_its_key_has_the_id_that_go_gives_it():
    key = VerifierKey.parse(GO_KEY)
    assert str(key) == GO_KEY
    assert read_note(GO_NOTE, [key]) == GO_TEXT
    with pytest.raises(NoteError):
        read_note(GO_NOTE.replace("answer", "Answer"), [key])


def test_a_checkpoint_is_signed_the_same_way_twice_and_read_back():
    checkpoint = Checkpoint(ORIGIN, 42, TREE.root(42))
    note = KEY.sign(checkpoint)
    assert note == KEY.sign(checkpoint)
    assert note.startswith(f"{ORIGIN}\n42\n{base64.b64encode(TREE.root(42)).decode()}\n\n— {ORIGIN} ")
    assert read_checkpoint(note, KNOWN) == checkpoint


def test_a_second_signature_of_an_unknown_key_does_no_harm_and_is_not_enough():
    other = SigningKey.load(OTHER_SIGNING_KEY)
    checkpoint = Checkpoint(ORIGIN, 42, TREE.root(42))
    note = KEY.sign(checkpoint) + other.sign(checkpoint).splitlines(keepends=True)[-1]
    assert read_checkpoint(note, KNOWN) == checkpoint
    assert read_checkpoint(note, [other.verifier("any")]) == checkpoint
    with pytest.raises(NoteError, match="no known key"):
        read_checkpoint(other.sign(checkpoint), KNOWN)


def test_a_key_vouches_for_the_later_incarnations_of_its_log():
    checkpoint = Checkpoint(f"{ORIGIN}/2", 42, TREE.root(42))
    assert read_checkpoint(KEY.sign(checkpoint), KNOWN) == checkpoint


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "forge+1+2", GO_KEY.replace("c74f20a3", "c74f20a4"), GO_KEY.replace("+AR", "+AQ"),
        "+" + GO_KEY, GO_KEY[:-4], "a b" + GO_KEY,
    ],
)  # fmt: skip
def test_a_malformed_verifier_key_is_refused(text):
    with pytest.raises(NoteError):
        VerifierKey.parse(text)


@pytest.mark.parametrize(
    ("pem", "why"),
    [("", "PEM"), ("no key", "PEM"), (SIGNING_KEY.replace("MC4", "MC5"), "PEM"), (SIGNING_KEY[:60], "PEM")],
)
def test_a_wrong_signing_key_is_refused(pem, why):
    with pytest.raises(NoteError, match=why):
        SigningKey.load(pem)


NOTE = KEY.sign(Checkpoint(ORIGIN, 42, TREE.root(42)))


@pytest.mark.soak
@given(st.data())
@settings(max_examples=count(5000, 300, soak=SOAK))
def test_no_mutated_note_is_accepted(data):
    kind = data.draw(st.sampled_from(["replace", "insert", "delete", "line", "cut"]))
    at = data.draw(st.integers(0, len(NOTE) - 1))
    character = data.draw(st.one_of(st.characters(), st.sampled_from("0123456789+/=\n —\x00")))
    lines = NOTE.splitlines(keepends=True)
    note = {
        "replace": NOTE[:at] + character + NOTE[at + 1 :],
        "insert": NOTE[:at] + character + NOTE[at:],
        "delete": NOTE[:at] + NOTE[at + 1 :],
        "line": "".join(lines[: at % len(lines)] + lines[at % len(lines) :][:1] + lines[at % len(lines) :]),
        "cut": NOTE[:at],
    }[kind]
    assume(note != NOTE)
    with pytest.raises(NoteError):
        read_checkpoint(note, KNOWN)


@given(st.text(max_size=300))
@example("forge.test/audit\n1\nAAAA\n\n— x y\n")
def test_no_other_text_is_a_note(text):
    with pytest.raises(NoteError):
        read_checkpoint(text, KNOWN)


@pytest.mark.parametrize(
    "size", ["042", "+42", "-1", "4_2", " 42", "42 ", "0x2a", "٤٢", "4.0", "", str(1 << 63)]
)  # fmt: skip
def test_a_size_has_one_spelling(size):
    with pytest.raises(NoteError):
        Checkpoint.parse(f"{ORIGIN}\n{size}\n{base64.b64encode(bytes(32)).decode()}\n")


def test_extension_lines_of_others_are_read_past():
    root = base64.b64encode(bytes(32)).decode()
    assert Checkpoint.parse(f"{ORIGIN}\n7\n{root}\nextension\n") == Checkpoint(ORIGIN, 7, bytes(32))
    with pytest.raises(NoteError):
        Checkpoint.parse(f"{ORIGIN}\n7\n{root}\n\n")
