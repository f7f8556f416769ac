"""Writes one line OPERATION(name) for each public function of the headers that makes an operation, and one line TASK(name) for
each that makes a task of any kind; a member's name begins with its class: stream_send.

    python3 list_operations.py BUILD_DIRECTORY OPERATIONS_OUTPUT TASKS_OUTPUT HEADER ...

tests/net/cancel_race_test.cpp and task_race_test.cpp include them, and do not compile if they have no case for one of them.
Reads the headers with libclang, as the library is compiled. Nothing is passed over: what the compiler refuses, a function of
whose result is not said here whether it can be awaited, and a class that can be awaited and comes from no function are errors.
"""

import collections
import dataclasses
import pathlib
import re
import sys

from known_operations import AWAITABLES, AWAITS, BASES, MADE_IN, NEVER_AWAITED, NEVER_WAITED_IN
from known_operations import NOT_AWAITED, OPEN_OPERATIONS, OPEN_TASKS, PARTS

sys.path.append("/usr/lib/python3/dist-packages")  # the packages of Debian's Python, if this is another one
try:
    from clang import cindex

    LIBCLANG = cindex.conf.lib
except Exception as missing:  # pylint: disable=broad-except
    sys.exit(f"list_operations.py: no libclang for Python: {missing}\nInstall python3-clang-19 or newer; scripts/setup does.")

Kind, TypeKind = cindex.CursorKind, cindex.TypeKind
CLASSES = {Kind.CLASS_DECL, Kind.STRUCT_DECL, Kind.UNION_DECL, Kind.CLASS_TEMPLATE, Kind.CLASS_TEMPLATE_PARTIAL_SPECIALIZATION}
FUNCTIONS = {Kind.FUNCTION_DECL, Kind.CXX_METHOD, Kind.FUNCTION_TEMPLATE, Kind.CONVERSION_FUNCTION}
VARIABLES = {Kind.VAR_DECL, Kind.FIELD_DECL}
ALIASES = {Kind.TYPEDEF_DECL, Kind.TYPE_ALIAS_DECL}
# What else is declared: nothing that could be called.
OTHERS = {
    Kind.CONSTRUCTOR,
    Kind.DESTRUCTOR,
    Kind.ENUM_DECL,
    Kind.CONCEPT_DECL,
    Kind.STATIC_ASSERT,
    Kind.CXX_ACCESS_SPEC_DECL,
    Kind.TEMPLATE_TYPE_PARAMETER,
    Kind.TEMPLATE_NON_TYPE_PARAMETER,
    Kind.TEMPLATE_TEMPLATE_PARAMETER,
}
HIDDEN = {cindex.AccessSpecifier.PRIVATE, cindex.AccessSpecifier.PROTECTED}
ARRAYS = {TypeKind.CONSTANTARRAY, TypeKind.INCOMPLETEARRAY, TypeKind.DEPENDENTSIZEDARRAY}
REFERENCES = {TypeKind.POINTER, TypeKind.LVALUEREFERENCE, TypeKind.RVALUEREFERENCE, TypeKind.MEMBERPOINTER}
# Types that the compiler does not know yet, and those of lambdas.
OPEN_KINDS = {TypeKind.UNEXPOSED, TypeKind.DEPENDENT, TypeKind.AUTO, TypeKind.RECORD}
OPEN = "..."  # in place of a class
A_PARAMETER = re.compile(r"(const )?type-parameter-\d+-\d+(\.\.\.)?$")
SOURCE = str(pathlib.Path(__file__).with_name("all_headers.cpp"))  # there is no such file


class Undecided(Exception):
    pass


def undecided(cursor, why):
    return Undecided(f"{cursor.location.file}:{cursor.location.line}: {why}: {cursor.displayname}")


@dataclasses.dataclass
class Class:
    members: set = dataclasses.field(default_factory=set)  # their names
    bases: set = dataclasses.field(default_factory=set)


@dataclasses.dataclass
class Function:
    key: str  # what it is listed as
    result: set  # the names of the classes that it is made of; OPEN
    of_awaitables: bool
    where: str


def with_parents(cursor):
    while cursor is not None and cursor.kind != Kind.TRANSLATION_UNIT:
        yield cursor
        cursor = cursor.semantic_parent


def is_inline(namespace):
    return bool(LIBCLANG.clang_Cursor_isInlineNamespace(namespace))


def name_of(cursor):
    names = [each.spelling for each in with_parents(cursor) if each.kind != Kind.LINKAGE_SPEC and not is_inline(each)]
    return "::".join(reversed(names)).removeprefix("chainring::")


def is_detail(cursor):
    return cursor.kind == Kind.NAMESPACE and cursor.spelling == "detail" and not is_inline(cursor)


def is_hidden(cursor):
    return any(is_detail(each) or each.access_specifier in HIDDEN for each in with_parents(cursor))


def class_of(whole):
    """Its declaration: that of the template, if it is made of one. None for a lambda, into which nobody looks."""
    declared = whole.get_canonical().get_declaration()
    if declared.kind not in CLASSES or "(lambda at " in declared.type.spelling:
        return None
    declared = LIBCLANG.clang_getSpecializedCursorTemplate(declared) or declared
    return declared.get_definition() or declared


def classes_in(whole, is_held=False):
    """The declarations of all classes that a type is made of; and OPEN. What a parameter stands for came from elsewhere, where
    a type only holds it or refers to it."""
    canonical = whole.get_canonical()
    kind = canonical.kind
    if kind == TypeKind.FUNCTIONPROTO:
        yield from classes_in(canonical.get_result(), is_held)
    elif kind in ARRAYS:
        yield from classes_in(canonical.get_array_element_type(), is_held)
    elif kind in REFERENCES:
        yield from classes_in(canonical.get_pointee(), True)
    elif declared := class_of(canonical):
        yield declared
        for at in range(canonical.get_num_template_arguments()):
            yield from classes_in(canonical.get_template_argument_type(at), True)
    elif kind in OPEN_KINDS and not (is_held and A_PARAMETER.match(canonical.spelling)):
        yield OPEN


def parameters_of(function):
    return [child for child in function.get_children() if child.kind == Kind.PARM_DECL]


def is_of_awaitables(cursor):
    """One of its concepts says so."""
    for child in cursor.get_children():
        if child.kind == Kind.TEMPLATE_REF and name_of(child.referenced) in AWAITABLES:
            return True
        if child.kind != Kind.COMPOUND_STMT and is_of_awaitables(child):
            return True
    return False


def named_by(using, owner):
    """What a using-declaration in this class names; for the constructors of a base nothing."""
    overloads = [child for child in using.get_children() if child.kind == Kind.OVERLOADED_DECL_REF]
    found = []
    for each in overloads:
        found += [LIBCLANG.clang_getOverloadedDecl(each, at) for at in range(LIBCLANG.clang_getNumOverloadedDecls(each))]
    bases = [child for child in owner.get_children() if child.kind == Kind.CXX_BASE_SPECIFIER]
    while bases and not found:
        base = class_of(bases.pop().type)
        for member in base.get_children() if base else ():
            if member.kind == Kind.CXX_BASE_SPECIFIER:
                bases.append(member)
            elif member.spelling == using.spelling:
                found.append(member)
    return found


class Declarations:
    """What the files of some folders declare where others can use it, and all classes."""

    def __init__(self, folders):
        self.folders = {pathlib.Path(folder).resolve() for folder in folders}
        self.files = {}
        self.noted = set()
        self.shown = set()
        self.classes = collections.defaultdict(Class)
        self.functions = []

    def read(self, cursors):
        for each in cursors:
            if self.is_ours(each):
                self.declaration(each, "", True)

    def is_ours(self, cursor):
        name = cursor.location.file.name if cursor.location.file else ""
        if name not in self.files:
            self.files[name] = pathlib.Path(name).resolve().parent in self.folders
        return self.files[name]

    def note(self, declared):
        """A class, its bases and its members. Returns its name."""
        name = name_of(declared)
        if declared.get_usr() not in self.noted:
            self.noted.add(declared.get_usr())
            noted = self.classes[name]
            for child in declared.get_children():
                if child.kind != Kind.CXX_BASE_SPECIFIER:
                    noted.members.add(child.spelling)
                elif base := class_of(child.type):
                    noted.bases.add(self.note(base))
                elif self.is_ours(declared):
                    noted.bases.add("waiter")  # that is what a parameter may stand for
        return name

    def declaration(self, cursor, scope, is_public):
        """`scope`: its class, as the names of functions tell it."""
        kind = cursor.kind
        is_public = is_public and cursor.access_specifier not in HIDDEN
        if kind in (Kind.NAMESPACE, Kind.LINKAGE_SPEC):
            for child in cursor.get_children():
                self.declaration(child, "", is_public and not is_detail(cursor))
        elif kind in CLASSES:
            if cursor.is_definition():
                self.note(cursor)
                self.members(cursor, cursor.spelling, is_public)
        elif kind in FUNCTIONS:
            self.function(cursor, scope, is_public)
        elif kind == Kind.FRIEND_DECL:
            for child in cursor.get_children():
                if child.kind in FUNCTIONS:
                    self.function(child, "", not is_hidden(cursor.semantic_parent))
        elif kind == Kind.UNEXPOSED_DECL and cursor.spelling:
            if not re.search(r"\bbool " + cursor.spelling, " ".join(token.spelling for token in cursor.get_tokens())):
                raise undecided(cursor, "a template of variables")
        elif not is_public:
            pass
        elif kind in VARIABLES:
            self.callable(cursor, cursor.type, scope, True)
        elif kind in ALIASES or kind == Kind.TYPE_ALIAS_TEMPLATE_DECL:
            aliases = [cursor] if kind in ALIASES else [child for child in cursor.get_children() if child.kind in ALIASES]
            for each in aliases:
                self.show(classes_in(each.underlying_typedef_type), "")
        elif kind == Kind.USING_DECLARATION:
            self.using(cursor, scope)
        elif kind in (Kind.USING_DIRECTIVE, Kind.NAMESPACE_ALIAS):
            if any(is_detail(child.referenced) for child in cursor.get_children()):
                raise undecided(cursor, "it shows what is hidden")
        elif kind.is_declaration() and kind not in OTHERS | {Kind.UNEXPOSED_DECL}:
            raise undecided(cursor, f"no idea what this is ({kind.name})")

    def members(self, declared, scope, is_public):
        for child in declared.get_children():
            if child.kind != Kind.CXX_BASE_SPECIFIER:
                self.declaration(child, scope, is_public)
            elif is_public and child.access_specifier not in HIDDEN and (base := class_of(child.type)):
                self.show([base], scope)

    def show(self, classes, scope):
        """Nobody can name a hidden class, but what is public in it can be used by whoever gets one."""
        for each in classes:
            if each is OPEN or not self.is_ours(each) or not is_hidden(each):
                continue
            shown = each.get_usr(), scope or each.spelling
            if shown not in self.shown:
                self.shown.add(shown)
                self.members(each, shown[1], True)

    def using(self, cursor, scope):
        owner = cursor.semantic_parent
        named = named_by(cursor, owner)
        bases = [child.spelling for child in owner.get_children() if child.kind == Kind.CXX_BASE_SPECIFIER]
        if not named and not any(re.search(rf"\b{cursor.spelling}(<.*>)?$", base) for base in bases):
            raise undecided(cursor, "what does it name")
        for each in named:
            if each.kind in FUNCTIONS:
                self.function(each, scope, True)
            elif each.kind in VARIABLES:
                self.callable(each, each.type, scope, True)
            elif each.kind in CLASSES:
                self.show([each], scope)
            elif each.kind not in OTHERS:
                raise undecided(cursor, "what does it name")

    def function(self, cursor, scope, is_public):
        name = cursor.spelling
        of_class = cursor.semantic_parent.kind in CLASSES
        if name == "operator co_await" and not of_class:
            for each in classes_in(parameters_of(cursor)[0].type):
                if each is OPEN:
                    raise undecided(cursor, "what does it await")
                self.classes[self.note(each)].members.add(name)
        is_defined_elsewhere = of_class and not scope  # it was declared in its class
        is_deleted = cursor.availability == cindex.AvailabilityKind.NOT_AVAILABLE
        if is_public and not is_deleted and not is_defined_elsewhere and name not in NEVER_AWAITED and name[0] != "<":
            self.callable(cursor, cursor.type.get_canonical().get_result(), scope, False)

    def callable(self, cursor, result, scope, is_held):
        """Operators are known by what they are applied to."""
        key = cursor.spelling
        if re.match(r"operator\b", key):
            owners = [each.spelling for given in parameters_of(cursor) for each in classes_in(given.type) if each is not OPEN]
            key = scope or (owners[0] if owners else key)
        elif scope:
            key = f"{scope}_{key}"
        classes = list(classes_in(result, is_held))
        names = {each if each is OPEN else self.note(each) for each in classes}
        of_awaitables = OPEN in names and is_of_awaitables(cursor)
        self.functions.append(Function(key, names, of_awaitables, f"{cursor.location.file}:{cursor.location.line}"))
        self.show(classes, key if is_held else "")


def check_unconditional(header, text):
    """What a condition takes away from the compiler nobody sees: it may choose macros and constants."""
    depth = 0
    for line in re.sub(r"/\*.*?\*/|//[^\n]*|\\\n", "", text, flags=re.DOTALL).splitlines():
        directive = re.match(r"\s*#\s*(\w+)", line)
        if directive:
            depth += directive[1].startswith("if") - (directive[1] == "endif")
        elif depth and line.strip() and not re.match(r"\s*((static|inline) )*constexpr bool \w+ = [^;]*;\s*$", line):
            raise Undecided(f"{header}: declared on condition: {line.strip()}")


def can_be_awaited(classes):
    found = {"waiter"} | {name for name, each in classes.items() if each.members & AWAITS}
    while more := {name for name, each in classes.items() if found & each.bases} - found:
        found |= more
    return found


def check_known(what, names, known):
    if gone := names - known:
        raise Undecided(f"no such {what} any more: {', '.join(sorted(gone))}")


def lists(declared):
    awaited = can_be_awaited(declared.classes)
    check_known("awaitable", BASES | NEVER_WAITED_IN | MADE_IN.keys(), awaited)
    made = awaited - BASES - NEVER_WAITED_IN
    operations, tasks, named = set(), set(), set()
    for function in declared.functions:
        if function.key in NOT_AWAITED | PARTS:
            continue
        if function.key in OPEN_OPERATIONS:
            operations.add(function.key)
        elif function.key in OPEN_TASKS or "task" in function.result or function.of_awaitables:
            tasks.add(function.key)
        elif function.result & made:
            operations.add(function.key)
            named |= function.result & made
        elif OPEN in function.result:
            raise Undecided(f"{function.where}: can what {function.key} yields be awaited?")
    known = {function.key for function in declared.functions}
    check_known("function", OPEN_OPERATIONS | OPEN_TASKS | NOT_AWAITED | PARTS | set(MADE_IN.values()), known)
    if nowhere := made - named - MADE_IN.keys():
        raise Undecided(f"what function makes these? {', '.join(sorted(nowhere))}")
    return operations, tasks


def including(headers):
    return "".join(f'#include "{pathlib.Path(header).resolve()}"\n' for header in headers)


def parse(build, text, options=0):
    """As the library is compiled."""
    commands = cindex.CompilationDatabase.fromDirectory(build).getAllCompileCommands()
    command = next(each for each in commands if each.filename.endswith("chainring-0.cpp"))
    arguments = [each for each in command.arguments if re.match(r"-(I|D|isystem|std=|stdlib=)", each)]
    arguments = [re.sub(r"^(-I|-isystem)(?!/)", rf"\1{command.directory}/", each) for each in arguments]
    options |= cindex.TranslationUnit.PARSE_SKIP_FUNCTION_BODIES
    return cindex.Index.create().parse(SOURCE, ["-w", *arguments], [(SOURCE, text)], options)


def check_compiled(unit):
    if errors := [str(each) for each in unit.diagnostics if each.severity >= cindex.Diagnostic.Error]:
        raise Undecided("\n".join(errors))


def lists_of(build, headers):
    unit = parse(build, including(headers))
    check_compiled(unit)
    declared = Declarations({pathlib.Path(header).parent for header in headers})
    for header in headers:
        check_unconditional(header, pathlib.Path(header).read_text())
    declared.read(unit.cursor.get_children())
    return lists(declared)


def main():
    build, operations_output, tasks_output, *headers = sys.argv[1:]
    try:
        operations, tasks = lists_of(build, headers)
    except Undecided as why:
        sys.exit(f"list_operations.py: {why}")
    for output, macro, names in ((operations_output, "OPERATION", operations), (tasks_output, "TASK", tasks)):
        pathlib.Path(output).write_text("".join(f"{macro}({name})\n" for name in sorted(names)))


if __name__ == "__main__":
    main()
