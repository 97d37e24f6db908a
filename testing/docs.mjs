// Checks the documents: every one is linked from README, every link leads somewhere, every test that they name exists, and the operator's
// page lists all of its sections, settings, secrets and log fields. Prints each fault as `path: what`, and fails if there is one.
import { existsSync, readFileSync, readdirSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const README = "README.md";
const OPERATING = "docs/operating.md";
/** The documents whose tables name tests in their last column. */
const WITH_TESTS = ["docs/promises.md", "docs/seed.md"];
const TESTS = "server/tests/it";

const faults = [];
const report = (path, what) => faults.push(`${path}: ${what}`);
const read = (path) => readFileSync(path, "utf8");
/** The first group of every match. */
const found = (text, pattern) => [...text.matchAll(pattern)].map(([, ...groups]) => groups.find((group) => group !== undefined));
const filesIn = (folder, extension) =>
  readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(extension)).map((name) => join(folder, name));

const documents = [README, "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", ...filesIn("docs", ".md")];
const prose = (path) => read(path).replaceAll(/^```[^]*?^```/gm, "");
const headings = (text) => found(text, /^#+ (.*)$/gm);
/** The anchor of a heading, as GitHub makes it. */
const anchor = (heading) => heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");

// ── Links ─────────────────────────────────────────────────────────────────────────────────────────

for (const path of documents) {
  for (const link of found(prose(path), /\]\(([^)\s]+)\)/g).filter((link) => !/^[a-z]+:/.test(link))) {
    const [file, section] = link.split("#");
    const target = file === "" ? path : join(dirname(path), file);
    if (!existsSync(target)) report(path, `${link} leads nowhere`);
    else if (section !== undefined && !headings(prose(target)).map(anchor).includes(section)) report(path, `${link}: there is no such section`);
  }
}

// Any answer is two clicks away: README leads to each document, and the operator's page to each of its sections.
const readme = read(README);
for (const name of readdirSync("docs").filter((name) => name.endsWith(".md") || statSync(join("docs", name)).isDirectory())) {
  if (!readme.includes(`](docs/${name}`)) report(README, `has no link to docs/${name}`);
}
const operating = prose(OPERATING);
const contents = found(operating, /^ *- \[.*\]\(#(.*)\)/gm);
const sections = found(operating, /^## (.*)$/gm).map(anchor);
if (contents.join() !== sections.join()) report(OPERATING, `lists ${contents.join(", ")} and has ${sections.join(", ")}`);

// ── Tests ─────────────────────────────────────────────────────────────────────────────────────────

/** The functions of a file, and the tests that a macro makes: `u1_after_the_intent: "a fail point", …`. */
const functions = (path) => found(read(path), /\bfn (\w+)|^ {4}([a-z]\d+_\w+): /gm);
const modules = filesIn(TESTS, ".rs").map((path) => {
  const name = relative(TESTS, path).replace(/(\/mod)?\.rs$/, "").replaceAll("/", "::");
  return { name, tests: functions(path) };
});
const sources = ["src", "app/src", "server/src"].flatMap((folder) => filesIn(folder, ".rs"));

/** Whether a test of that name exists: a file or a folder, or a module of the server's tests, or a function in one. `…` ends a beginning. */
function exists(name) {
  if (name.includes("/") || name === "deny.toml") return existsSync(name);
  if (name.endsWith(".rs")) return sources.some((path) => path.endsWith(`/${name}`));
  if (modules.some((module) => module.name === name || module.name.startsWith(`${name}::`))) return true;
  const [, module, test, isBeginning] = name.match(/^(.*)::(\w+?)(…?)$/) ?? [];
  const fits = (candidate) => (isBeginning ? candidate.startsWith(test) : candidate === test);
  return modules.some(({ name, tests }) => name === module && tests.some(fits));
}

for (const path of WITH_TESTS) {
  const rows = read(path).split("\n").filter((line) => line.startsWith("| ") && !line.startsWith("| ---"));
  let columns;
  for (const row of rows) {
    const cells = row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim());
    if (/\btests?\b/.test(cells.at(-1)) && !cells.at(-1).startsWith("`")) columns = cells.length;
    else if (columns !== undefined) {
      if (cells.length !== columns) report(path, `a row has ${cells.length} columns instead of ${columns}: ${row.slice(0, 80)}…`);
      const names = found(cells.at(-1), /`([^`]+)`/g);
      if (names.length === 0) report(path, `a row names no test: ${row.slice(0, 80)}…`);
      for (const [index, name] of names.entries()) {
        // "`a_function` in `a/file.rs`"
        const file = cells.at(-1).match(new RegExp(`\`${name}\` in \`([^\`]+)\``))?.[1];
        const files = file === undefined ? [] : statSync(file).isDirectory() ? filesIn(file, ".rs") : [file];
        const isThere = file === undefined ? exists(name) : files.some((file) => functions(file).includes(name));
        if (!isThere) report(path, `there is no test ${name} (name ${index + 1} of ${row.slice(0, 60)}…)`);
      }
    }
  }
}

// ── Settings, secrets, log ────────────────────────────────────────────────────────────────────────

const config = read("server/src/config.rs");
const settings = new Set([
  ...found(config, /env\s*\.(?:text|number|number::<\w+>|parsed|switch|required)\(\s*"([A-Z_0-9]+)"/g),
  ...found(config, /const NAME: &str = "([A-Z_0-9]+)"/g),
]);
for (const name of settings) if (!operating.includes(`| \`${name}\``)) report(OPERATING, `has no row for ${name}`);

/** A section, without its heading. */
const section = (heading) => operating.split(/^## /m).find((text) => text.startsWith(`${heading}\n`)) ?? "";
// Keys, tokens, and addresses that may hold a password.
const secrets = [...settings].filter((name) => /KEY|TOKEN|_URL$|ENDPOINT/.test(name) && name !== "VWAZA_PUBLIC_URL" && name !== "SUPABASE_URL");
for (const name of secrets) if (!section("Rotate a secret").includes(`\`${name}\``)) report(OPERATING, `doesn't say how to rotate ${name}`);

/** What stands in the parentheses of each call of a macro. */
function* callsOf(code, macros) {
  for (const match of code.matchAll(macros)) {
    let [end, depth] = [match.index + match[0].length, 1];
    for (; depth > 0 && end < code.length; end++) depth += { "(": 1, ")": -1 }[code[end]] ?? 0;
    yield code.slice(match.index + match[0].length, end - 1);
  }
}
/** The fields of the log's lines in the server's code. Storage calls are spans that only traces have. */
const logged = new Set();
for (const path of ["src/backend", "server/src"].flatMap((folder) => filesIn(folder, ".rs")).filter((path) => !path.includes("tests"))) {
  const [product] = read(path).split(/#\[cfg\(test\)\]\s*mod \w+ \{/);
  // Without comments, and with empty strings.
  const code = product.replaceAll(/\/\/.*$|"(?:[^"\\]|\\.)*"/gm, (found) => (found.startsWith("/") ? "" : '""'));
  for (const call of callsOf(code, /\b(?:debug|info|warn|error)(?:_span)?!\(/g)) {
    if (call.includes("TRACE_ONLY")) continue;
    for (const name of found(call, /(?:^|,)\s*([a-z_]+(?:\.[a-z_]+)*) = /g)) logged.add(name);
    for (const name of found(call, /(?:^|,)\s*[?%]?([a-z_]+)(?=\s*,|\s*$)/g)) logged.add(name);
  }
}
for (const name of logged) if (!section("Log").includes(`\`${name}\``)) report(OPERATING, `doesn't explain the log field ${name}`);

if (faults.length > 0) {
  console.error(faults.join("\n"));
  process.exit(1);
}
