// Prints every sentence that artists and reviewers read, as `path:line: sentence`: `./dev words`.
//
// The program reads the string literals of the Rust sources. It leaves out a literal whose place shows that nobody reads
// it (an attribute, a log line, SQL, a class, a test), and one that looks like a name. A few names still come through.
// Operators read the log, the command-line help and the metrics: those are not among the sources.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

const SOURCES = ["app/src", "src/domain", "src/backend", "server/src"];
// Files whose texts only operators or machines read.
const NOT_SOURCES = [
  /^src\/backend\/(directories|fail_points|fuzzing|settings|limits\/redis|uploads\/spool)\.rs$/,
  /^src\/backend\/(db|operations|storage|queue\/worker)\//,
  /^server\/src\/(cli|config|descriptors|listen|main|metrics|telemetry)\.rs$/,
];
// Calls whose arguments only the log, the compiler, the browser or PostgreSQL reads.
const NOT_SHOWN = new Set(
  `trace! debug! info! warn! error! event! span! trace_span! debug_span! info_span! warn_span! error_span!
  assert! assert_eq! assert_ne! debug_assert! debug_assert_eq! debug_assert_ne! panic! unreachable! todo! matches! cfg!
  env! include_str! println! eprintln! query! query_as! query_scalar! query query_as query_scalar execute
  expect context with_context Corrupt PasswordHash unusable class style attr set_attribute query_selector query_selector_all
  closest`.split(/\s+/),
);
const ATTRIBUTES_NOT_SHOWN = new RegExp(
  `^((attr|prop|style|class):.*|(data|stroke)-.*|aria-(labelledby|describedby|controls|live|busy|hidden|current|invalid|keyshortcuts)
  |class|style|id|href|src|path|role|type|r#type|kind|method|action|name|for|rel|d|viewBox|scope|target|enctype|lang
  |autocomplete|charset|loading|decoding|preload|download|then|r#as)$`.replaceAll(/\s/g, ""),
);
const MARKUP = /\w=\S|=>|'(none|self)'|^[a-z]+\/[a-z]+;|^[a-z-]+, [a-z-]+$|\br\.[a-z_]+|^bytes |\[[a-z-]+\]/;
const FUNCTION_WORDS = /(^|\s)(a|an|and|at|by|for|from|in|is|it|its|not|of|on|or|that|the|this|to|was|with)(\s|$)/;
const SQL = /^\s*(SELECT|INSERT|UPDATE|DELETE|WITH|CREATE|ALTER|DROP|SET|LISTEN|NOTIFY|LOCK|BEGIN|TRUNCATE|VACUUM)\b/;

function rustFiles(folder) {
  return filesBelow(folder).filter((path) => !NOT_SOURCES.some((pattern) => pattern.test(path)) && !isTest(path));
}

function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return path.endsWith(".rs") ? [path] : [];
    });
}

// Whether a module is declared for tests only, in the file of its folder or in that folder's `mod.rs`.
function isTest(path) {
  const [, folder, name] = /^(.*)\/([^/]*)\.rs$/.exec(path);
  const declared = new RegExp(`#\\[cfg\\(test\\)\\]\\s*(pub(\\([a-z]*\\))?\\s+)?mod ${name};`);
  return [`${folder}.rs`, `${folder}/mod.rs`, `${folder}/lib.rs`].some(
    (parent) => existsSync(parent) && declared.test(readFileSync(parent, "utf8")),
  );
}

// Splits Rust into its tokens: { kind: "string" | "word" | "sign", text, at }. Leaves out comments, and literals that
// hold no text for people: characters, numbers, byte strings and C strings.
function tokens(source) {
  const found = [];
  const patterns = [
    [null, /\s+|\/\/[^\n]*/y],
    [null, /(?:b|c)"(?:[^"\\]|\\[^])*"|b?'(?:[^'\\\n]|\\(?:u\{[^}]*\}|x..|.))'/y],
    [null, /(?:b|c)r(#*)"[^]*?"\1/y],
    ["raw", /r(#*)"([^]*?)"\1(?!#)/y],
    ["string", /"((?:[^"\\]|\\[^])*)"/y],
    ["word", /(?:r#)?[\p{L}_][\p{L}\p{N}_]*|'[\p{L}_][\p{L}\p{N}_]*/uy],
    ["sign", /=>|->|::|<=|>=|\d[\w.]*|[^]/uy],
  ];
  for (let at = 0; at < source.length; ) {
    if (source.startsWith("/*", at)) {
      at = endOfBlockComment(source, at);
      continue;
    }
    for (const [kind, pattern] of patterns) {
      pattern.lastIndex = at;
      const match = pattern.exec(source);
      if (!match) continue;
      if (kind === "raw") found.push({ kind: "string", text: match[2], at });
      else if (kind === "string") found.push({ kind, text: unescaped(match[1]), at });
      else if (kind) found.push({ kind, text: match[0], at });
      at = pattern.lastIndex;
      break;
    }
  }
  return found;
}

// Block comments nest.
function endOfBlockComment(source, at) {
  let depth = 0;
  do {
    if (source.startsWith("/*", at)) [depth, at] = [depth + 1, at + 2];
    else if (source.startsWith("*/", at)) [depth, at] = [depth - 1, at + 2];
    else at++;
  } while (depth > 0 && at < source.length);
  return at;
}

function unescaped(text) {
  const escapes = { n: "\n", r: "\r", t: "\t", 0: "\0" };
  return text.replace(/\\(?:\r?\n\s*|u\{([0-9a-fA-F_]+)\}|x([0-9a-fA-F]{2})|([^]))/g, (_, code, byte, sign) => {
    if (code || byte) return String.fromCodePoint(parseInt((code ?? byte).replaceAll("_", ""), 16));
    return sign === undefined ? "" : (escapes[sign] ?? sign);
  });
}

// The index after the bracket that closes the one at `open`.
function afterBracket(list, open) {
  let depth = 0;
  for (let i = open; i < list.length; i++) {
    if (list[i].kind !== "sign") continue;
    if ("([{".includes(list[i].text)) depth++;
    else if (")]}".includes(list[i].text) && --depth === 0) return i + 1;
  }
  return list.length;
}

// Leaves out attributes, and the items that are marked `#[cfg(test)]`.
function withoutAttributes(list, path) {
  const kept = [];
  for (let i = 0; i < list.length; ) {
    const opens = list[i].text === "#" && list[i].kind === "sign" && (list[i + 1]?.text === "!" ? i + 2 : i + 1);
    if (!opens || list[opens]?.text !== "[" || list[opens].kind !== "sign") {
      kept.push(list[i++]);
      continue;
    }
    const end = afterBracket(list, opens);
    const attribute = list.slice(opens + 1, end - 1).map((token) => token.text).join("");
    // `#[error("…")]` holds the text of an error. The texts of `Problem` are for people.
    if (/^error\(/.test(attribute) && path.endsWith("/problem.rs")) kept.push(...list.slice(opens + 1, end - 1));
    i = attribute === "cfg(test)" ? afterItem(list, end) : end;
  }
  return kept;
}

function afterItem(list, i) {
  for (; i < list.length; i++) {
    if (list[i].kind !== "sign") continue;
    if (list[i].text === ";") return i + 1;
    if (list[i].text === "{") return afterBracket(list, i);
    if ("([".includes(list[i].text)) i = afterBracket(list, i) - 1;
  }
  return i;
}

// Returns the name before an opening bracket: `warn!(`, `sqlx::query!(`, `.expect(`, `class=`.
function callee(list, open) {
  let i = open - 1;
  const bang = list[i]?.text === "!" && list[i].kind === "sign" ? "!" : "";
  if (bang) i--;
  return list[i]?.kind === "word" ? list[i].text + bang : "";
}

// Returns the attribute's name before a value, such as `aria-label` for `aria-label="…"`. The value may also be a block
// or a closure: `aria-label=move || format!("…")`.
function attributeBefore(list, i) {
  if (list[i - 1]?.text !== "=" || list[i - 1].kind !== "sign") return null;
  let name = "";
  for (i -= 2; i >= 0 && (list[i].kind === "word" || "-:".includes(list[i].text[0])); i--) {
    const glued = list[i].at + list[i].text.length === (list[i + 1]?.at ?? 0) || name === "";
    if (!glued) break;
    name = list[i].text + name;
  }
  return name || null;
}

function sentences(path) {
  const source = readFileSync(path, "utf8");
  const list = withoutAttributes(tokens(source), path);
  const open = []; // the brackets around the token, and whether what stands in them is shown
  const shown = [];
  list.forEach((token, i) => {
    if (token.kind === "sign" && "([{".includes(token.text)) {
      const attribute = attributeBefore(list, i);
      const isBlock = attribute !== null && token.text === "{";
      const hidden = open.at(-1)?.hidden || NOT_SHOWN.has(callee(list, i)) || (isBlock && isHidden(attribute));
      open.push({ hidden, callee: callee(list, i) });
    } else if (token.kind === "sign" && ")]}".includes(token.text)) open.pop();
    else if (token.kind === "string" && !open.at(-1)?.hidden && !isPattern(list, i)) {
      const attribute = attributeBefore(list, i);
      const inView = open.some((bracket) => bracket.callee === "view!");
      if (inView && attribute !== null && isHidden(attribute)) return;
      const isNode = inView && /^[>}]$/.test(list[i - 1]?.text) && /^[<{]$/.test(list[i + 1]?.text);
      if (isWords(token.text) || (isNode && /\p{L}/u.test(token.text)))
        shown.push({ line: source.slice(0, token.at).split("\n").length, text: token.text });
    }
  });
  return shown;
}

const isHidden = (attribute) => ATTRIBUTES_NOT_SHOWN.test(attribute);
// Whether a literal is a pattern of a `match` or one side of a comparison, such as the name of a language or a key.
const isPattern = (list, i) =>
  /^(=>|\|)$/.test(list[i + 1]?.text) || (list[i - 1]?.text === "=" && /^[=!]$/.test(list[i - 2]?.text));

// Whether a literal is words for people, not a name, an address, a format or SQL.
function isWords(text) {
  const bare = text.replace(/\{[^{}\s]*\}/g, "X").trim();
  if (SQL.test(text) || MARKUP.test(bare) || isClasses(text) || !/\p{Ll}{2}/u.test(bare)) return false;
  if (/^[\p{Lu}][\p{Ll}’']+[.:…?]?$/u.test(bare)) return true; // a button: "Save"
  if (!/\s/.test(text.trim()) || !/\p{L}/u.test(bare)) return /\p{L}…|…\p{L}/u.test(bare);
  return /\p{Ll}/u.test(bare) && !/^[\w./-]+: \S+$|[=;]\s*'|^\S+\/\S+$/.test(bare);
}

// "badge badge-good", "{ROW_LINK} md:text-end"
const isClasses = (text) =>
  /[a-z]-[a-z\d]|\{class\}/.test(text) &&
  !/[A-Z…“]|[,.:;] |[.:]$/.test(text.replace(/\{[^{}\s]*\}/g, "")) &&
  !FUNCTION_WORDS.test(text);

let count = 0;
for (const path of SOURCES.flatMap(rustFiles))
  for (const { line, text } of sentences(path)) {
    console.log(`${path}:${line}: ${text.replaceAll(/\s*\n\s*/g, " ⏎ ")}`);
    count++;
  }
console.error(`${count} sentences`);
