// On the site's page of troubleshooting: a box that finds the entries of a pasted message. The page is whole without it.
{
  const title = document.querySelector("h1#troubleshooting");
  const even = (text) => text.toLowerCase().replace(/\s+/g, " ");
  const words = (text) => text.match(/[a-z]{4,}/g) ?? [];

  const groupOf = (code) => {
    let above = code.closest("ul");
    while (above && !/^H[23]$/.test(above.tagName)) above = above.previousElementSibling;
    return above;
  };
  const entries = [...document.querySelectorAll("li > code:only-child")]
    .filter((code) => code.parentNode.textContent.trim() === code.textContent.trim())
    .map((code) => ({ code, group: groupOf(code), parts: even(code.textContent).split("…").filter((part) => part.trim()) }))
    .filter((entry) => entry.group);

  // how many of an entry's letters a text has, all and in their order; else 0
  const held = (entry, text) => {
    let at = 0;
    for (const part of entry.parts) {
      at = text.indexOf(part, at);
      if (at < 0) return 0;
      at += part.length;
    }
    return entry.parts.join("").length;
  };
  // where no entry fits: which share of an entry's words, and of its own, a text has
  const shared = (entry, text) => {
    const [ours, theirs] = [new Set(words(entry.parts.join(" "))), new Set(words(text))];
    const both = [...ours].filter((word) => theirs.has(word)).length;
    return both > 1 ? both / (ours.size + theirs.size - both) : 0;
  };
  const best = (score, text) =>
    entries.map((entry) => [score(entry, text), entry]).filter(([points]) => points).sort((a, b) => b[0] - a[0]).slice(0, 5);

  const show = (list, given) => {
    const text = even(given).trim();
    const fitting = best(held, text);
    const found = fitting.length && fitting[0][0] > 5 ? fitting : best(shared, text);
    const items = found.map(([, { code, group }]) => {
      const [item, link] = [document.createElement("li"), document.createElement("a")];
      link.href = `#${group.id}`;
      link.textContent = [...group.childNodes].filter((node) => !node.classList?.contains("headerlink")).map((node) => node.textContent).join("");
      item.append(link, ": ", code.cloneNode(true));
      return item;
    });
    const none = Object.assign(document.createElement("li"), { textContent: "No entry is like it." });
    list.replaceChildren(...(items.length || !text ? items : [none]));
  };

  if (title) {
    const [box, list] = [document.createElement("textarea"), document.createElement("ul")];
    Object.assign(box, { rows: 2, placeholder: "Paste a message here, with its file names and numbers", ariaLabel: "a message" });
    box.style.cssText = "width: 100%; padding: .6em; border: 1px solid; border-radius: .2em; font: inherit; color: inherit; background: none";
    list.ariaLive = "polite";
    box.addEventListener("input", () => show(list, box.value));
    title.after(box, list);
  }
}
