"use strict";

// The page shows /openapi.json: operations by tag, and a form that sends each. It uses nothing but this file.

const methods = ["get", "put", "post", "patch", "delete"];
const exampleDepth = 6; // levels of an example body, as schemas may refer to themselves

let schemas = {};

// el makes an element; children are elements and texts, and texts stay texts.
function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== undefined && value !== false) e.setAttribute(key, value === true ? "" : value);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined));
  return e;
}

function resolve(schema) {
  for (let i = 0; schema && schema.$ref && i < 10; i++) schema = schemas[schema.$ref.split("/").pop()];
  return schema || {};
}

// kind says a schema in a few words.
function kind(schema) {
  const s = resolve(schema);
  if (s.oneOf) return s.oneOf.map(kind).join(" or ");
  let text = [].concat(s.type || "any JSON").join(" or ");
  if (s.type === "array" || (Array.isArray(s.type) && s.type.includes("array"))) text = "list of " + kind(s.items);
  if (s.enum) text += ": " + s.enum.join(", ");
  const limits = [];
  if (s.minimum !== undefined) limits.push("from " + s.minimum);
  if (s.maximum !== undefined) limits.push("to " + s.maximum);
  if (s.maxLength !== undefined) limits.push("at most " + s.maxLength + " characters");
  if (s.maxItems !== undefined) limits.push("at most " + s.maxItems + " items");
  if (s.default !== undefined) limits.push("default " + s.default);
  return limits.length ? text + " (" + limits.join(", ") + ")" : text;
}

// example makes a value that fits a schema.
function example(schema, depth = 0) {
  const s = resolve(schema);
  if (s.examples) return s.examples[0];
  if (s.enum) return s.enum[0];
  if (s.oneOf) return example(s.oneOf[0], depth + 1);
  switch ([].concat(s.type)[0]) {
    case "object": {
      const out = {};
      if (depth < exampleDepth) for (const [name, field] of Object.entries(s.properties || {})) out[name] = example(field, depth + 1);
      return out;
    }
    case "array": return depth < exampleDepth ? [example(s.items, depth + 1)] : [];
    case "integer": case "number": return 1;
    case "boolean": return true;
    case "string": return "text";
  }
  return {};
}

function fieldTable(schema, prefix = "", depth = 0, rows = []) {
  const s = resolve(schema);
  for (const [name, field] of Object.entries(s.properties || {})) {
    const inner = resolve(field);
    const needed = (s.required || []).includes(name);
    rows.push(el("tr", {}, el("td", {}, el("code", {}, prefix + name), needed ? " *" : ""), el("td", {}, kind(field)), el("td", {}, field.description || inner.description || "")));
    const next = inner.items ? resolve(inner.items) : inner;
    if (next.properties && depth < exampleDepth) fieldTable(next, prefix + name + (inner.items ? "[]." : "."), depth + 1, rows);
  }
  return rows;
}

function table(head, rows) {
  if (!rows.length) return null;
  return el("table", {}, el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...rows));
}

function parameters(op) {
  return table(["Parameter", "Kind", ""], (op.parameters || []).map((p) =>
    el("tr", {}, el("td", {}, el("code", {}, p.name), p.required ? " *" : ""), el("td", {}, p.in + ", " + kind(p.schema)), el("td", {}, p.description || ""))));
}

function bodyOf(content) {
  const media = content && (content["application/json"] || content["text/csv"] || content["application/problem+json"]);
  return media ? media.schema : null;
}

function requestPart(op) {
  const schema = op.requestBody && bodyOf(op.requestBody.content);
  if (!schema) return null;
  return el("section", {}, el("h3", {}, "Body: " + kind(schema)), resolve(schema).description ? el("p", {}, resolve(schema).description) : null, table(["Field", "Kind", ""], fieldTable(schema)));
}

function responsePart(op) {
  const part = el("section", {}, el("h3", {}, "Answers"));
  const good = [], bad = [];
  for (const [status, r] of Object.entries(op.responses || {})) (status < 400 ? good : bad).push([status, r]);
  for (const [status, r] of good) {
    const schema = bodyOf(r.content);
    part.append(el("p", {}, el("strong", {}, status), " " + (r.description || "")));
    const fields = schema && table(["Field", "Kind", ""], fieldTable(schema));
    if (fields) part.append(fields);
  }
  if (bad.length) part.append(el("p", {}, "Problem documents: " + bad.map(([status, r]) => status + " " + r.description).join(", ")));
  return part;
}

// credentials says who asks: the key of the page, or else whoever is logged in at the console in this browser.
async function credentials(method) {
  const key = document.getElementById("key").value.trim();
  if (key) return { Authorization: "Bearer " + key };
  if (method === "get") return {};
  const r = await fetch("/api/v1/session");
  const csrf = r.ok ? (await r.json()).csrf : "";
  return csrf ? { "X-CSRF-Token": csrf } : {};
}

// send makes the request that the form describes and shows what comes back.
async function send(form, method, path, op, out) {
  let url = path;
  const query = new URLSearchParams(), headers = {};
  for (const p of op.parameters || []) {
    const value = form.elements[p.in + "." + p.name].value;
    if (p.in === "path") url = url.replace("{" + p.name + "}", encodeURIComponent(value));
    else if (value && p.in === "query") query.set(p.name, value);
    else if (value && p.in === "header") headers[p.name] = value;
  }
  if (query.size) url += "?" + query;
  const options = { method: method.toUpperCase(), headers };
  if (form.elements.body) {
    headers["Content-Type"] = "application/json";
    options.body = form.elements.body.value;
  }
  out.hidden = false;
  out.textContent = "Sending…";
  try {
    Object.assign(headers, await credentials(method));
    const r = await fetch(url, options);
    const text = await r.text();
    const shown = ["content-type", "etag", "retry-after", "idempotency-replayed"].filter((h) => r.headers.get(h)).map((h) => h + ": " + r.headers.get(h));
    out.textContent = [options.method + " " + url, r.status + " " + r.statusText, ...shown, "", text].join("\n");
  } catch (err) {
    out.textContent = "The request failed: " + err.message;
  }
}

function tryIt(method, path, op) {
  const form = el("form", {}, el("h3", {}, "Try it"));
  for (const p of op.parameters || []) {
    const name = p.in + "." + p.name;
    form.append(el("label", {}, p.name + " (" + p.in + ")", el("input", { name, required: Boolean(p.required), autocomplete: "off" })));
  }
  const schema = op.requestBody && bodyOf(op.requestBody.content);
  if (schema) {
    const area = el("textarea", { name: "body", spellcheck: "false" });
    area.value = JSON.stringify(example(schema), null, 2);
    form.append(el("label", {}, "body", area));
  }
  const out = el("pre", { hidden: true, tabindex: "0", role: "status" });
  form.append(el("button", { type: "submit" }, "Send"), out);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, method, path, op, out);
  });
  return form;
}

// operation makes the card of one call; what is in it is made when it is first opened.
function operation(method, path, op) {
  const card = el("details", { id: op.operationId }, el("summary", {}, el("strong", { class: "method " + method }, method.toUpperCase()), el("code", {}, path), el("span", {}, op.summary || "")));
  card.dataset.words = [method, path, op.summary, op.description, op.operationId].join(" ").toLowerCase();
  card.addEventListener("toggle", () => {
    if (!card.open || card.children.length > 1) return;
    card.append(el("div", {}, op.description ? el("p", {}, op.description) : null, parameters(op), requestPart(op), responsePart(op), tryIt(method, path, op)));
  });
  return card;
}

function show(doc) {
  schemas = (doc.components && doc.components.schemas) || {};
  document.getElementById("version").textContent = doc.info.version;
  document.getElementById("about").textContent = doc.info.description || "";
  const main = document.getElementById("operations");
  main.replaceChildren();
  for (const tag of doc.tags || []) {
    const group = el("section", {}, el("h2", {}, tag.name + " ", el("small", {}, tag.description || "")));
    for (const [path, item] of Object.entries(doc.paths)) {
      for (const method of methods) {
        if (item[method] && (item[method].tags || []).includes(tag.name)) group.append(operation(method, path, item[method]));
      }
    }
    main.append(group);
  }
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) {
    target.open = true;
    target.scrollIntoView();
  }
}

function find(words) {
  for (const card of document.querySelectorAll("details")) card.hidden = !words.every((w) => card.dataset.words.includes(w));
  for (const group of document.querySelectorAll("main section")) {
    if (group.querySelector("h2")) group.hidden = !group.querySelector("details:not([hidden])");
  }
}

document.getElementById("search").addEventListener("input", (event) => find(event.target.value.toLowerCase().split(/\s+/).filter(Boolean)));

fetch("/openapi.json")
  .then((r) => r.json())
  .then(show)
  .catch((err) => { document.getElementById("operations").textContent = "The description could not be loaded: " + err.message; });
