"""The documentation page: one file, no script from elsewhere, no styles from elsewhere.

It reads `/openapi.json` and lists every call with its parameters and body.
"""

from __future__ import annotations

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Roost API</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
summary { cursor: pointer; padding: .3rem 0 } code, pre { font-family: ui-monospace, monospace }
pre { background: #8881; padding: .7rem; overflow: auto; border-radius: 4px }
.method { display: inline-block; width: 5.5rem; font-weight: 600 } h2 { margin-top: 2rem }
@media (prefers-color-scheme: dark) { body { background: #111; color: #ddd } a { color: #8bf } }
</style>
<h1>Roost API</h1>
<p>Send <code>Authorization: Bearer TOKEN</code> with each call; the token is in
<code>ROOST_HOME/token</code>. Machine-readable: <a href="/openapi.json">/openapi.json</a>.</p>
<main id="calls">Loading…</main>
<script>
const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text });
const resolve = (doc, schema) => schema && schema.$ref
  ? doc.components.schemas[schema.$ref.split("/").pop()] : schema;
fetch("/openapi.json").then(reply => reply.json()).then(doc => {
  const main = document.getElementById("calls"), groups = {};
  main.textContent = "";
  for (const [path, calls] of Object.entries(doc.paths))
    for (const [method, call] of Object.entries(calls))
      (groups[(call.tags || ["more"])[0]] ||= []).push([method, path, call]);
  for (const [tag, calls] of Object.entries(groups)) {
    main.append(make("h2", tag));
    for (const [method, path, call] of calls) {
      const box = make("details", ""), head = make("summary", "");
      const word = make("span", method.toUpperCase());
      word.className = "method";
      head.append(word, make("code", path));
      box.append(head, make("p", call.description || call.summary || ""));
      const need = call["x-roost-scope"];
      if (need) box.append(make("p", `Needs the right ${need.right} on: ${need.on}`));
      const given = (call.parameters || []).map(p =>
        `${p.name} (${p.in}${p.required ? ", required" : ""})`);
      if (given.length) box.append(make("p", "Parameters: " + given.join(", ")));
      const body = call.requestBody && call.requestBody.content["application/json"].schema;
      const shape = body && (resolve(doc, body) || body);
      if (shape) box.append(make("pre", JSON.stringify(shape.properties || shape, null, 2)));
      main.append(box);
    }
  }
});
</script>
</html>
"""
