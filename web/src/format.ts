// Figures and times as the page writes them.

/** A figure with at most one decimal; "–" for what is not known. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  if (Math.abs(value) >= 100_000) return `${Math.round(value / 1000)}k`;
  return String(Math.round(value * 10) / 10);
}

/** Part of a whole in percent; "–" of nothing. */
export function percent(part: number, whole: number): string {
  return whole > 0 ? `${Math.round((100 * part) / whole)} %` : "–";
}

/** CPU units as CPUs: 1536 is "1.5". */
export function cpus(units: number): string {
  return String(Math.round((units / 1024) * 100) / 100);
}

/** CPU in use; "–" while it is not known. */
export function usedCpus(units: number | null | undefined): string {
  if (units === null || units === undefined) return "–";
  return (units / 1024).toFixed(2);
}

/** MiB in the unit that reads best. */
export function memory(mib: number): string {
  if (Math.abs(mib) < 1024) return `${Math.round(mib)} MiB`;
  return `${Math.round((mib / 1024) * 10) / 10} GiB`;
}

/** The time of day. */
export function clock(at: string | number): string {
  const d = new Date(at);
  return [d.getHours(), d.getMinutes(), d.getSeconds()].map((n) => String(n).padStart(2, "0")).join(":");
}

/** The start of a long id, enough to tell it from others. */
export function short(id: string): string {
  return id.slice(0, 8);
}
