"""What the README quotes is what is there: the table of settings, the embedding example."""

import os
import pathlib
import subprocess
import unittest

SOURCE = pathlib.Path(os.environ["HOOKWHEEL_SOURCE_DIR"])
PROGRAM = pathlib.Path(os.environ["HOOKWHEEL_BUILD_DIR"]) / "hookwheel"


class Readme(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.text = (SOURCE / "README.md").read_text()

    def test_settings_are_those_of_the_program(self):
        begin = "<!-- settings: printed by `hookwheel serve --help-markdown` -->\n"
        quoted = self.text.split(begin)[1].split("<!-- end of settings -->")[0]
        printed = subprocess.run([PROGRAM, "serve", "--help-markdown"], check=True,
                                 stdout=subprocess.PIPE, text=True).stdout
        self.assertEqual(quoted, printed)

    def test_embedding_example_is_the_one_that_the_tests_run(self):
        example = (SOURCE / "test/support/embed_example.c").read_text()
        self.assertIn("```c\n" + example + "```\n", self.text)

    def test_every_metric_of_the_program_is_named(self):
        exposition = (SOURCE / "engine/api/exposition.c").read_text()
        names = {word for word in exposition.split('"') if word.startswith("hookwheel_")}
        self.assertGreater(len(names), 20)
        for name in sorted(names):
            self.assertIn("`" + name, self.text)


if __name__ == "__main__":
    unittest.main()
