"""The other parser: tree-sitter's grammar of bash, whose commands must be those that our own reader found.

Either of them may take a text for something else than bash does; the same mistake in both is what would go unseen.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Set

    from tree_sitter import Node, Parser

# Every named node of the grammar at its pinned version: a node that a newer one adds is not known to be harmless.
_KNOWN = frozenset((
    "ansi_c_string", "arithmetic_expansion", "array", "binary_expression", "brace_expression",
    "c_style_for_statement", "case_item", "case_statement", "command", "command_name", "command_substitution",
    "comment", "compound_statement", "concatenation", "declaration_command", "do_group", "elif_clause", "else_clause",
    "expansion", "extglob_pattern", "file_descriptor", "file_redirect", "for_statement", "function_definition",
    "heredoc_body", "heredoc_content", "heredoc_end", "heredoc_redirect", "heredoc_start", "herestring_redirect",
    "if_statement", "list", "negated_command", "number", "parenthesized_expression", "pipeline", "postfix_expression",
    "process_substitution", "program", "raw_string", "redirected_statement", "regex", "simple_expansion",
    "special_variable_name", "string", "string_content", "subscript", "subshell", "ternary_expression",
    "test_command", "test_operator", "unary_expression", "unset_command", "variable_assignment",
    "variable_assignments", "variable_name", "while_statement", "word",
))  # fmt: skip
_NOT_ASCII = re.compile(r"[^\x00-\x7f]")
_HERE_STRING = re.compile(r"(?<=[ \t])<<<(?=[ \t]*[^<\s])")
_COMMANDS = {"declaration_command", "unset_command", "test_command"}


def differs(text: str, starts: Set[int]) -> str:
    """Why this parser does not agree that commands begin at these places of the text, "" when it does."""
    # The grammar's scanner asks C's isalpha about any character, which reads outside its table for one beyond ASCII and
    # can end the whole process.  For bash they are ordinary characters of a word; one letter each keeps the places.
    plain = _NOT_ASCII.sub("x", text)
    tree = _parser().parse(plain.encode("ascii"))
    if tree.root_node.has_error and _HERE_STRING.search(plain):
        # It knows no here-string behind another redirection (`cat > a <<< x`); a file begins no command either.
        tree = _parser().parse(_HERE_STRING.sub("<  ", plain).encode("ascii"))
    if tree.root_node.has_error:
        return "its syntax is not understood"
    begun: set[int] = set()
    waiting: list[Node] = [tree.root_node]
    while waiting:
        node = waiting.pop()
        if node.is_named and node.type not in _KNOWN:
            return f"it has a construct that is not known ({node.type})"
        if node.type == "command_name" or node.type in _COMMANDS:
            begun.add(node.start_byte)
        waiting.extend(node.children)
    return "" if begun == starts else "two parsers do not agree on its commands"


@cache
def _parser() -> Parser:
    # Imported here: the first frame and the first request need no shell.
    import tree_sitter
    import tree_sitter_bash

    return tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))
