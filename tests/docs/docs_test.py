"""What the documentation says is tried.

usage: docs_test.py CHECK ROOT                       blocks, links, index or errors (pages.py)
       docs_test.py run ROOT ONCEGATE DEMO_APP PAGE  the commands of one page (console.py); with show instead of run
                                                     it also prints what they put out, for whoever writes the page

Prints what is wrong, one a line, and exits 1 if there is anything.
"""

import pathlib
import sys

import console
import pages


def main(arguments):
    what, root = arguments[0], pathlib.Path(arguments[1])
    if what in pages.CHECKS:
        complaints = list(pages.CHECKS[what](root))
    else:
        oncegate, application, page = pathlib.Path(arguments[2]), arguments[3], arguments[4]
        complaints, count = console.run_page(root, page, pages.blocks(root, page), oncegate, application,
                                               print if what == "show" else None)
        print(f"{page}: {count} commands run")
    for complaint in complaints:
        print(complaint)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
