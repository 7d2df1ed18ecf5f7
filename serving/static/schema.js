// Reads JSON Schemas as OpenAPI holds them: names for types, rows for a table of fields, an example.

const DEEPEST = 6;

/** What a schema is, with its reference followed. */
export function follow(schema, root) {
  for (let step = 0; schema && schema.$ref && step < 20; step += 1) {
    const target = schema.$ref.startsWith("#/")
      ? schema.$ref.slice(2).split("/").reduce((node, part) => node?.[part.replaceAll("~1", "/").replaceAll("~0", "~")], root) : null;
    const { $ref, ...beside } = schema;
    schema = { ...(target || {}), ...beside };
  }
  return schema || {};
}

/** A type in a few words: "text", "list of numbers", "A or B". */
export function typeName(given, root, depth = 0) {
  const schema = follow(given, root);
  if (depth > DEEPEST) return "…";
  const several = schema.anyOf || schema.oneOf;
  if (several) return [...new Set(several.map((one) => typeName(one, root, depth + 1)))].join(" or ");
  if (schema.allOf?.length === 1) return typeName(schema.allOf[0], root, depth);
  if ("const" in schema) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (Array.isArray(schema.type)) return schema.type.map((type) => typeName({ ...schema, type }, root, depth + 1)).join(" or ");
  if (schema.type === "array") {
    if (schema.prefixItems) return `[${schema.prefixItems.map((one) => typeName(one, root, depth + 1)).join(", ")}]`;
    return schema.items ? `list of ${typeName(schema.items, root, depth + 1)}` : "list";
  }
  if (schema.type === "object" || schema.properties) {
    const values = schema.additionalProperties;
    if (!schema.properties && values && typeof values === "object") return `object of ${typeName(values, root, depth + 1)}`;
    return schema.title || "object";
  }
  return { string: "text", integer: "integer", number: "number", boolean: "true or false", null: "null" }[schema.type] || "anything";
}

/** Bounds of a value, for people. */
export function bounds(given, root) {
  const schema = follow(given, root);
  const parts = [];
  for (const one of [schema, ...(schema.anyOf || []).map((option) => follow(option, root))]) {
    const say = (key, words) => { if (key in one) parts.push(`${words} ${one[key]}`); };
    say("minimum", "≥"); say("exclusiveMinimum", ">"); say("maximum", "≤"); say("exclusiveMaximum", "<");
    say("minLength", "length ≥"); say("maxLength", "length ≤"); say("minItems", "items ≥"); say("maxItems", "items ≤");
  }
  return [...new Set(parts)].join(", ");
}

/** Fields of an object, those of nested objects below them: {name, type, required, note, fallback}. */
export function rows(given, root, prefix = "", depth = 0) {
  const schema = follow(given, root);
  if (depth > DEEPEST) return [];
  const found = [];
  for (const [name, value] of Object.entries(schema.properties || {})) {
    const field = follow(value, root);
    found.push({
      name: prefix + name, type: typeName(value, root), required: (schema.required || []).includes(name),
      note: [field.description, bounds(value, root)].filter(Boolean).join(" · "),
      fallback: (field.default ?? null) === null ? "" : JSON.stringify(field.default),
    });
    for (const [inner, mark] of inside(field, root)) found.push(...rows(inner, root, `${prefix}${name}${mark}.`, depth + 1));
  }
  return depth ? found : [...found.filter((one) => one.required), ...found.filter((one) => !one.required)];
}

/** The objects that a field holds, by itself or in lists. */
function inside(schema, root, mark = "", depth = 0) {
  if (depth > 3) return [];
  if (schema.properties) return [[schema, mark]];
  const options = (schema.anyOf || schema.oneOf || schema.allOf || []).flatMap((one) => inside(follow(one, root), root, mark, depth + 1));
  const items = schema.items ? inside(follow(schema.items, root), root, `${mark}[]`, depth + 1) : [];
  const seen = new Set(); // an object alone or in a list is one object
  return [...options, ...items].filter(([one]) => {
    const key = one.title || JSON.stringify(Object.keys(one.properties));
    return !seen.has(key) && seen.add(key);
  });
}

/** A value that the schema allows. */
export function example(given, root, depth = 0) {
  const schema = follow(given, root);
  if ("example" in schema) return schema.example;
  if (schema.examples?.length) return schema.examples[0];
  if ("const" in schema) return schema.const;
  if ("default" in schema && depth) return schema.default;
  if (schema.enum) return schema.enum[0];
  if (depth > DEEPEST) return null;
  const several = schema.anyOf || schema.oneOf || schema.allOf;
  if (several) return example(several.find((one) => follow(one, root).type !== "null") || several[0], root, depth + 1);
  const type = Array.isArray(schema.type) ? schema.type[0] : schema.type;
  if (type === "object" || schema.properties) {
    const required = schema.required || [];
    return Object.fromEntries(Object.entries(schema.properties || {}).filter(([name]) => required.includes(name))
      .map(([name, value]) => [name, example(value, root, depth + 1)]));
  }
  if (type === "array") {
    if (schema.prefixItems) return schema.prefixItems.map((one) => example(one, root, depth + 1));
    return schema.items ? [example(schema.items, root, depth + 1)] : [];
  }
  return { string: "text", integer: schema.minimum ?? 1, number: schema.minimum ?? 0.5, boolean: true }[type] ?? null;
}
