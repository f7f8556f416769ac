"""What C++ headers declare where others can use it: classes, and functions with what they return.

Not a compiler: it reads the declarations that this project writes, and raises Unreadable at anything else instead of passing
over it.
"""

import dataclasses
import pathlib
import re

TOKEN = re.compile(r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|\w+|::|->|\.\.\.|<=>|[^\w\s]')
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
SPECIFIERS = {"static", "inline", "constexpr", "consteval", "constinit", "virtual", "explicit", "extern", "friend", "mutable"}
ACCESS = {"public", "private", "protected"}
CLASS_KEYS = {"class", "struct", "union", "enum"}
A_MACRO = re.compile(r"[A-Z][A-Z0-9_]+$")
LONGEST_SHOWN = 20  # tokens


class Unreadable(Exception):
    pass


@dataclasses.dataclass
class Function:
    name: str
    scope: str  # the innermost class; "" outside of classes
    returns: list  # tokens, those of a trailing result behind `auto ->`
    parameters: list
    template: list  # the parameters of the template
    class_template: list  # of that of its class
    is_public: bool  # and not in a namespace `detail`


@dataclasses.dataclass
class Class:
    name: str
    template: list = dataclasses.field(default_factory=list)
    bases: list = dataclasses.field(default_factory=list)
    members: set = dataclasses.field(default_factory=set)  # names of its functions


@dataclasses.dataclass
class Declarations:
    classes: list = dataclasses.field(default_factory=list)
    functions: list = dataclasses.field(default_factory=list)
    aliases: dict = dataclasses.field(default_factory=dict)


class Reader:
    def __init__(self, header, into):
        text = pathlib.Path(header).read_text()
        text = COMMENT_OR_STRING.sub(lambda found: '""' if found[0][0] == '"' else " ", text)
        self.tokens = TOKEN.findall(DIRECTIVE.sub("", text))
        self.header = header
        self.into = into
        self.at = 0

    def fail(self, begin, why):
        shown = " ".join(self.tokens[begin : begin + LONGEST_SHOWN])
        raise Unreadable(f"{self.header}: {why}: {shown} ...")

    def is_at(self, *expected):
        return tuple(self.tokens[self.at : self.at + len(expected)]) == expected

    def skip_group(self):
        """Behind the bracket that closes the one here. Within <...> other brackets count, and none elsewhere does."""
        begin, opening = self.at, self.tokens[self.at]
        depth = 0
        while self.at < len(self.tokens):
            token = self.tokens[self.at]
            if opening == "<" and token in "([{":
                self.skip_group()
                continue
            depth += (token == opening) - (token == CLOSING[opening])
            self.at += 1
            if depth == 0:
                return self.tokens[begin + 1 : self.at - 1]
        self.fail(begin, "a bracket that does not close")

    def all(self):
        self.declarations(None, True)
        if self.at != len(self.tokens):
            self.fail(self.at, "more than what is declared")

    def declarations(self, scope, is_public):
        while self.at < len(self.tokens) and not self.is_at("}"):
            if self.tokens[self.at] in ACCESS and self.tokens[self.at + 1] == ":":
                shown = self.tokens[self.at] == "public"
                is_public = shown and scope is not None and scope[1]
                self.at += 2
            else:
                self.declaration(scope, is_public)

    def declaration(self, scope, is_public):
        begin = self.at
        template = []
        while self.skip_attributes() or self.is_at("template") or self.is_at("requires"):
            if self.is_at("template"):
                self.at += 1
                template += self.skip_group()
            elif self.is_at("requires"):
                self.skip_condition()
        token = self.tokens[self.at]
        if token == ";":
            self.at += 1
        elif token == "namespace" or self.is_at("inline", "namespace"):
            self.namespace(is_public)
        elif token in ("using", "typedef", "static_assert", "concept"):
            self.skip_statement(begin)
        elif token in CLASS_KEYS or (token == "friend" and self.tokens[self.at + 1] in CLASS_KEYS):
            self.a_class(is_public, template)
        else:
            self.function_or_variable(begin, scope, is_public, template)

    def skip_attributes(self):
        begin = self.at
        while self.is_at("[", "[") or self.is_at("alignas"):
            self.at += self.is_at("alignas")
            self.skip_group()
        return self.at != begin

    def skip_condition(self):
        """requires A && B<C>, where what follows is a declaration."""
        wants_operand = True
        self.at += 1
        while wants_operand:
            while self.is_at("!"):
                self.at += 1
            if self.is_at("requires"):  # an expression
                self.at += 1
                if self.is_at("("):
                    self.skip_group()
                self.skip_group()
            elif self.is_at("("):
                self.skip_group()
            else:
                self.at += 1
                while self.is_at("::") or self.is_at("<"):
                    if self.is_at("<"):
                        self.skip_group()
                    else:
                        self.at += 2
            wants_operand = self.is_at("&", "&") or self.is_at("|", "|")
            self.at += 2 * wants_operand

    def namespace(self, is_public):
        self.at += 1 + self.is_at("inline")
        hidden = False
        while not self.is_at("{"):
            hidden = hidden or self.is_at("detail")
            self.at += 1
        self.at += 1
        self.declarations(None, is_public and not hidden)
        self.at += 1

    def skip_statement(self, begin):
        while not self.is_at(";"):
            if self.tokens[self.at] in "([{":
                self.skip_group()
            else:
                self.at += 1
        statement = self.tokens[begin : self.at]
        if "using" in statement and "=" in statement:
            at = statement.index("=", statement.index("using"))
            self.into.aliases.setdefault(statement[statement.index("using") + 1], []).extend(statement[at + 1 :])
        self.at += 1

    def a_class(self, is_public, template):
        begin = self.at
        name = ""
        key = self.tokens[self.at]
        self.at += 1 + (key == "friend")
        self.at += self.is_at("class") + self.is_at("struct")  # enum class
        while not (self.is_at("{") or self.is_at(";") or self.is_at(":")):
            if self.skip_attributes():
                continue
            if self.is_at("<"):
                self.skip_group()
                continue
            if self.is_at("("):
                self.fail(begin, "a function that returns a class by its key")
            if self.tokens[self.at] not in ("final", "::"):
                name = self.tokens[self.at]
            self.at += 1
        bases_begin = self.at
        while not (self.is_at("{") or self.is_at(";")):
            if self.is_at("<"):
                self.skip_group()
            else:
                self.at += 1
        bases = names_of_bases(self.tokens[bases_begin + 1 : self.at])
        if self.is_at("{"):
            if key == "enum":
                self.skip_group()
            else:
                made = Class(name, template, bases)
                self.into.classes.append(made)
                self.at += 1
                self.declarations((made, is_public), is_public and key != "class")
                self.at += 1
        while not self.is_at(";"):  # members of it
            if self.tokens[self.at] in "{(":
                self.skip_group()
            else:
                self.at += 1
        self.at += 1

    def function_or_variable(self, begin, scope, is_public, template):
        head = []
        name = ""
        while True:
            if self.at >= len(self.tokens) or self.is_at("}"):
                self.fail(begin, "a declaration without an end")
            if self.skip_attributes():
                continue
            token = self.tokens[self.at]
            if token == "operator":
                self.at += 1
                name = "operator " + " ".join(self.operator_name())
                break
            if token == "(":
                if head and A_MACRO.match(head[-1]) and len(head) < len(self.tokens) and not self.ends_behind_group():
                    head.pop()  # an attribute in a macro
                    self.skip_group()
                    continue
                if head and head[-1] == "decltype":
                    head += ["(", *self.skip_group(), ")"]
                    continue
                if self.tokens[self.at + 1] == "*":  # a pointer to a function
                    self.skip_variable(begin)
                    return
                break
            if token in ("=", "{", ";", ":"):  # a variable
                self.skip_variable(begin)
                return
            if token == "[":
                self.skip_group()
                continue
            if token == "<" and head:
                head += ["<", *self.skip_group(), ">"]
                continue
            head.append(token)
            self.at += 1
        if not name:
            name = head.pop() if head else self.fail(begin, "a function without a name")
            if head and head[-1] == "~":
                name = "~" + name
                head.pop()
        while head and head[-1] == "::":  # defined outside of its class
            head.pop()
            if head and head[-1] == ">":
                depth = 0
                while True:
                    closed = head.pop()
                    depth += (closed == ">") - (closed == "<")
                    if depth == 0:
                        break
            scope_name = head.pop() if head else ""
            scope = (Class(scope_name), False) if scope_name else scope
            is_public = False  # it was declared in the class
        if not re.fullmatch(r"~?\w+|operator .*", name):
            self.fail(begin, "a function without a name")
        parameters = self.skip_group()
        returns = [token for token in head if token not in SPECIFIERS and not A_MACRO.match(token)]
        returns += self.rest_of_function(begin)
        class_name = scope[0].name if scope else ""
        if scope:
            scope[0].members.add(name)
        if not returns and name not in (class_name, "~" + class_name) and not name.startswith("operator"):
            self.fail(begin, "a function that returns nothing that can be read")
        class_template = scope[0].template if scope else []
        self.into.functions.append(Function(name, class_name, returns, parameters, template, class_template, is_public))

    def ends_behind_group(self):
        """The group here is the last of a declaration: its parameters."""
        kept = self.at
        self.skip_group()
        following = self.tokens[self.at] if self.at < len(self.tokens) else ";"
        self.at = kept
        return not re.fullmatch(r"\w+", following) or following in ("const", "noexcept", "override", "final", "requires")

    def operator_name(self):
        name = []
        if self.is_at("(", ")"):
            self.at += 2
            return ["()"]
        while not self.is_at("("):
            name.append(self.tokens[self.at])
            self.at += 1
        return name

    def skip_variable(self, begin):
        first = self.at
        while not self.is_at(";"):
            if self.tokens[self.at] in "([{":
                self.skip_group()
            else:
                self.at += 1
        initializer = self.tokens[first : self.at]
        if any(token == "[" and before in ("=", "{", "(", ",") for before, token in zip(initializer, initializer[1:])):
            self.fail(begin, "a variable that can be called")
        self.at += 1

    def rest_of_function(self, begin):
        """Behind it. Returns its trailing result."""
        result = []
        while True:
            if self.at >= len(self.tokens):
                self.fail(begin, "a function without an end")
            token = self.tokens[self.at]
            if token == ";":
                self.at += 1
                return result
            if token == "{":
                self.skip_group()
                return result
            if token == ":":
                self.skip_initializers()
                continue
            if token == "->":
                self.at += 1
                while not (self.is_at(";") or self.is_at("{") or self.is_at("requires")):
                    result.append(self.tokens[self.at])
                    self.at += 1
            elif token == "requires":
                self.skip_condition()
            elif token == "(":
                self.skip_group()
            else:
                self.at += 1

    def skip_initializers(self):
        """Up to the body of a constructor: each is a name and a group."""
        while True:
            self.at += 1
            while not (self.is_at("(") or self.is_at("{")):
                if self.is_at("<"):
                    self.skip_group()
                else:
                    self.at += 1
            self.skip_group()
            self.at += self.is_at("...")
            if not self.is_at(","):
                return


def names_of_bases(tokens):
    depth = 0
    names = [""]
    for token in tokens:
        if token == "," and depth == 0:
            names.append("")
        depth += (token == "<") - (token == ">")
        if depth == 0 and re.fullmatch(r"\w+", token):
            names[-1] = token
    return [name for name in names if name]


def declarations_of(headers):
    into = Declarations()
    for header in headers:
        Reader(header, into).all()
    return into
