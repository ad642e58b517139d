"""Labels that a flip exchanges are found in all usual spellings, and nothing else is."""

import re

import pytest

from vt_seg.data import flip_pair_findings, left_right_pairs

FACE = (
    "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck "
    "neck_l cloth hair hat"
)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left", "right"),
        ("Left-arm", "Right-arm"),
        ("left hand", "right hand"),
        ("lefthand", "righthand"),
        ("handLeft", "handRight"),
        ("upperleftarm", "upperrightarm"),
        ("arm (left)", "arm (right)"),
        ("Arm, left", "Arm, right"),
        ("LEFT_ARM", "RIGHT_ARM"),
        ("l_eye", "r_eye"),
        ("eye_l", "eye_r"),
        ("l. eye", "R. Eye"),
        ("Leye", "Reye"),
        ("lEye", "rEye"),
        ("LEye", "REye"),
        ("LEYE", "REYE"),
        ("eye.L", "eye.R"),
        ("eye (l)", "eye (r)"),
        ("eyeL1", "eyeR1"),
        ("l_eye_2", "r_eye_2"),
        ("Lt. lung", "Rt. lung"),
        ("LH", "RH"),
        ("wheel_fl", "wheel_fr"),
        ("rl wheel", "rr wheel"),
        ("l_l_lip", "r_l_lip"),
        ("l_lip_left", "l_lip_right"),
        ("left lane left arrow", "right lane right arrow"),
        ("from left to right", "from right to left"),
        ("Œil left", "œil right"),
        ("Auge_links", "Auge_rechts"),
        ("linkes Auge", "rechtes Auge"),
        ("œil gauche", "œil droit"),
        ("main gauche", "main droite"),
        ("ojo izquierdo", "ojo derecho"),
        ("левый глаз", "правый глаз"),
        ("左眼", "右眼"),
        ("眼\uff08左\uff09", "眼\uff08右\uff09"),
        ("왼쪽 눈", "오른쪽 눈"),
        ("\uff2c\uff3feye", "\uff32\uff3feye"),
    ],
)
def test_usual_spellings_are_pairs(left, right):
    assert left_right_pairs(["a", right, "b", left]) == ((1, 3),)


@pytest.mark.parametrize(
    "classes",
    [
        ("u_lip", "l_lip"),
        ("l_ear", "ear_r"),
        ("left arm", "right leg"),
        ("left arm", "arm"),
        ("cleft", "cright"),
        ("light", "right"),
        ("bright", "blight"),
        ("Load", "Road"),
        ("Lamp", "Ramp"),
        ("liver", "river"),
        ("L", "R"),
        ("L1", "R1"),
        ("LV", "RV"),
        ("key_l", "key_r", "key_a", "key_b", "key_c"),
        ("rear", "ear"),
        ("left/right",),
        ("左右", "右"),
        ("left arm", "right arm", "Right Arm"),
    ],
)
def test_other_names_are_no_pairs(classes):
    assert left_right_pairs(classes) == ()


def test_parts_of_a_face():
    assert left_right_pairs(FACE.split()) == ((2, 3), (4, 5), (7, 8))


def test_several_pairs_with_numbers():
    names = ["left wheel 1", "left wheel 2", "right wheel 2", "right wheel 1"]
    assert left_right_pairs(names) == ((0, 3), (1, 2))


@pytest.mark.parametrize(
    ("pairs", "says"),
    [
        (
            None,
            r"l_brow and r_brow \(labels 2 and 3\) .*set flip_label_pairs \[\[2, 3\], \[4, 5\], "
            r"\[7, 8\]\], or \[\] if no two classes are mirror images",
        ),
        ([[4, 5]], r"l_brow .*set flip_label_pairs \[\[2, 3\], \[4, 5\], \[7, 8\]\]$"),
        ([[2, 4], [7, 8]], "so that 2 and 3 are a pair, not two labels of other pairs$"),
        ([[2, 30]], "holds 30, but labels are 0..18"),
        ("((2, 3))", "pairs of labels.*got"),
        (3, "pairs of labels.*got 3"),
        ([2, 3], r"pairs of labels.*got \[2, 3\]"),
    ],
)
def test_wrong_pairs_are_found(pairs, says):
    (finding,) = flip_pair_findings(FACE.split(), pairs)
    assert re.search(says, finding.message), finding.message


def test_empty_list_says_that_there_are_none():
    assert flip_pair_findings(["type_l", "type_r"], []) == []
    assert flip_pair_findings(["a", "b"], None) == []
