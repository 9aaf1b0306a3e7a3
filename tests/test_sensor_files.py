"""Text files of sensors: separators, decimal marks, encodings, comments; no row is lost."""

import codecs
import warnings

import pandas as pd
import pytest

from pdeinv import InputError, InputWarning, Sensors
from pdeinv.datasets import Poisson

TABLE = [
    ("source", 0.125, 0.5, -1500.0, 0.5),
    ("potential", 0.0, 1.0, 2e-3, 1.0),
    ("potential", 1.0, 0.75, 12.0, 0.0),
]
RIGHT = pd.DataFrame(TABLE, columns=["field", "x", "y", "value", "noise_std"])


def text(separator=",", decimal=".", *, first="", end="\n", quoted=False):
    """The table in a form of text; whole numbers without decimals."""
    lines = [first] if first else []
    lines.append(separator.join(RIGHT.columns))
    for row in TABLE:
        cells = [row[0], *(f"{number:g}".replace(".", decimal) for number in row[1:])]
        lines.append(separator.join(f'"{c}"' if quoted and "," in c else c for c in cells))
    return end.join(lines) + end


FORMS = {
    "commas and points": text(),
    "semicolons and decimal commas": text(";", ","),
    "semicolons and points": text(";"),
    "tabs and decimal commas": text("\t", ","),
    "tabs and points": text("\t"),
    "bars": text("|"),
    "blanks": text(" "),
    "quoted decimal commas": text(",", ",", quoted=True),
    "a line sep=;": text(";", ",", first="sep=;"),
    "a line sep=, and points": text(first="sep=,"),
    "a line sep= with a tab": text("\t", ",", first="sep=\t"),
    "a padded line sep=;": text(";", ",", first="sep=;;;;;"),
    "Windows": text(";", ",", end="\r\n"),
    "old Macintosh": text("\t", ",", end="\r"),
    "separators at the ends": text(";", ",", end=";\n"),
    "empty rows of a spreadsheet": text(";", ",") + ";;;;\n;;;;\n",
    "a typographic minus": text().replace("-1500", "\N{MINUS SIGN}1500"),
    "blanks around": text(" ;  ", ","),
    "a header as a comment": "# " + text(),
    "a header as a comment, blanks": "# made by hand\n#" + text(" "),
    "comments": "# field, x, y, value, noise_std\n" + text().replace("\n", "\n  # , left,out\n\n"),
    "UTF-8 with a mark": text(";", ",").encode("utf-8-sig"),
    "UTF-16, Excel's Unicode text": codecs.BOM_UTF16_LE + text("\t", ",").encode("utf-16-le"),
    "UTF-16, big endian": codecs.BOM_UTF16_BE + text("\t", ",").encode("utf-16-be"),
    "code page 1252": ("# Meßstelle im Süden\n" + text(";", ",")).encode("cp1252"),
}


def write(folder, content):
    path = folder / "s.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_text_gives_the_same_table(form, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = Sensors.read(write(tmp_path, FORMS[form])).table
    pd.testing.assert_frame_equal(read, RIGHT, check_exact=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (text(",", ","), "line 2 has 8 values for 5 columns; mend it, with semicolons between"),
        (
            text(";", ",").replace("12;", "12.000,5;"),
            "line 4: a number must have no separators of thousands, got 12.000,5; write it with",
        ),
        (
            text(";", ",").replace("-1500;", "-1.500;"),
            r"s.csv has decimal commas \(line 2\) and decimal points \(line 2\); use one of them",
        ),
        (
            text().replace("-1500", '"-1,500"'),
            r"s.csv has decimal commas \(line 2\) and decimal points \(line 2\)",
        ),
        (text(";").replace("12;", "1,200,000;"), "line 4: .* separators of thousands"),
        (
            "field;x;y;value\nsource;0;1;1,500\nsource;1;1;12\n",
            "line 2: the comma in its number may be decimal or separate thousands; write numbers",
        ),
    ],
)
def test_a_number_that_may_mean_two_things_is_refused(content, message, tmp_path):
    with pytest.raises(InputError, match=message):
        Sensors.read(write(tmp_path, content))


# Comments


def test_a_mark_of_comments_inside_a_row_is_data(tmp_path):
    path = write(tmp_path, text().replace("12,", "12#3,"))
    with pytest.raises(InputError, match="row 3: value must be a finite number, got 12#3"):
        Sensors.read(path)
    table = "station,field,x,y,value,noise_std\nA#1,source,.1,.2,3,0\n#2 B,source,.4,.5,6,0\n"
    with pytest.raises(InputError, match="line 3 starts with # and has the form of a reading; put"):
        Sensors.read(write(tmp_path, table))
    with pytest.warns(InputWarning, match="'station' is not used"):
        read = Sensors.read(write(tmp_path, table.replace("#2 B", '"#2 B"')))
    assert read.table.value.tolist() == [3.0, 6.0]


def test_rows_that_all_start_with_the_mark_of_comments_are_rows(tmp_path):
    table = "station,field,x,y,value,noise_std\n#1,source,.1,.2,3,0\n# note\n#2,source,.4,.5,6,0\n"
    with pytest.warns(InputWarning, match="'station' is not used"):
        assert Sensors.read(write(tmp_path, table)).table.value.tolist() == [3.0, 6.0]


def test_a_reading_may_be_commented_out(tmp_path):
    read = Sensors.read(write(tmp_path, text().replace("\npotential,0,", "\n#potential,0,"))).table
    pd.testing.assert_frame_equal(read, RIGHT.drop(1).reset_index(drop=True))
    with pytest.raises(InputError, match=r"s\.csv has no readings"):
        Sensors.read(write(tmp_path, text().replace("\np", "\n#p").replace("\ns", "\n # s")))


def test_a_column_called_by_the_mark_of_comments_is_a_column(tmp_path):
    table = "#,field,x,y,value,noise_std\n1,source,.1,.2,3,0\n2,potential,.4,.5,6,0\n"
    with pytest.warns(InputWarning, match="the column '' is not used"):
        sensors = Sensors.read(write(tmp_path, table))
    assert sensors.observation(Poisson(), Poisson().grid(16)).values.tolist() == [3.0, 6.0]
