"""Reads Autobahn's reports and judges them strictly."""

import collections
import json
import os
import pathlib

# NON-STRICT, UNIMPLEMENTED and the rest are failures: nothing but these two passes.
PASSES = {"OK", "INFORMATIONAL"}


def case_key(case):
    return tuple(int(part) for part in case.split("."))


def read(folders):
    """The results of all cases in the reports of `folders`, by case id."""
    cases = {}
    for folder in folders:
        index = pathlib.Path(folder) / "index.json"
        if not index.exists():
            continue
        for results in json.loads(index.read_text()).values():
            for case, result in results.items():
                cases[case] = dict(result, report=os.path.relpath(index.parent / result["reportfile"]))
    return cases


def cut_off(cases):
    """The cases that were right but for the suite, which did not wait long enough for the connection to close."""
    return [
        case
        for case, result in sorted(cases.items(), key=lambda item: case_key(item[0]))
        if result["behavior"] in PASSES and result["behaviorClose"] == "FAILED BY CLIENT"
    ]


def summarize(title, cases, expected_count):
    """Prints the summary of one role and returns whether it passed."""
    sections = collections.defaultdict(collections.Counter)
    for case, result in cases.items():
        sections[case.split(".")[0]][result["behavior"]] += 1
    print(f"{title}: {len(cases)} cases")
    for section in sorted(sections, key=int):
        counts = ", ".join(f"{count} {behavior}" for behavior, count in sections[section].most_common())
        print(f"  section {section:>2}: {counts}")
    closes = collections.Counter(result["behaviorClose"] for result in cases.values())
    print("  closing   :", ", ".join(f"{count} {behavior}" for behavior, count in closes.most_common()))

    failures = [
        case
        for case, result in cases.items()
        if result["behavior"] not in PASSES or result["behaviorClose"] not in PASSES
    ]
    for case in sorted(failures, key=case_key):
        result = cases[case]
        print(f"  FAILED {case}: {result['behavior']}, closing {result['behaviorClose']}, {result['report']}")
    complete = len(cases) == expected_count
    if not complete:
        print(f"  FAILED: expected {expected_count} cases, the report has {len(cases)}")
    return complete and not failures
