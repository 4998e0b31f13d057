// Light or dark: the system's choice until a person chooses.

const key = "plimsoll-theme";

/** Follows the theme, calls changed at each change, and gives the two verbs. */
export function watchTheme(changed: () => void): { dark(): boolean; toggle(): void } {
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", changed);
  const dark = () => {
    const chosen = document.documentElement.dataset["theme"];
    return chosen ? chosen === "dark" : system.matches;
  };
  return {
    dark,
    toggle() {
      const next = dark() ? "light" : "dark";
      document.documentElement.dataset["theme"] = next;
      try {
        localStorage.setItem(key, next);
      } catch {
        // Storage is closed to this page: the choice lasts as long as the page.
      }
      changed();
    },
  };
}
