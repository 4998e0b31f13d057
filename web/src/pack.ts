// Where each task's block is drawn in its host: like luggage in a hold, each
// stays where it is for as long as it can. Pure.

/** A block of a host: lane from the top, left edge and width in parts of 1. */
export interface Slot {
  lane: number;
  left: number;
  width: number;
}

export interface Item {
  id: string;
  /** Size in the unit of the capacity. */
  size: number;
}

/** How many lanes a host of that many CPU units is drawn with. */
export function lanesFor(cpu: number): number {
  return Math.min(6, Math.max(1, Math.round(cpu / 2048)));
}

/** The narrowest block, in parts of a lane: a task that reserves nothing is seen too. */
const narrowest = 0.03;

/** A host's blocks. */
export interface Hold {
  /** What widths are multiplied with, so that blocks fit that would straddle two lanes. */
  scale: number;
  slots: ReadonlyMap<string, Slot>;
}

export const empty: Hold = { scale: 1, slots: new Map() };

/**
 * Gives every item its slot. Items keep their old slot, and new ones take the
 * first gap that is wide enough. Only if there is none, everything is packed
 * anew, a little narrower if need be. What has no room at all (an overdraft) is
 * drawn over the end of the last lane rather than left out.
 */
export function pack(old: Hold, items: readonly Item[], capacity: number, lanes: number): Hold {
  const width = (item: Item, scale: number) => Math.min(1, Math.max(narrowest, capacity > 0 ? (item.size / capacity) * lanes * scale : narrowest));
  const kept = new Map<string, Slot>();
  for (const item of items) {
    const slot = old.slots.get(item.id);
    if (slot && slot.lane < lanes && Math.abs(slot.width - width(item, old.scale)) < 1e-9) kept.set(item.id, slot);
  }
  const slots = fill(kept, items, (item) => width(item, old.scale), lanes);
  if (slots.size === items.length) return { scale: old.scale, slots };
  const largestFirst = [...items].sort((a, b) => b.size - a.size);
  let anew = new Map<string, Slot>();
  let scale = 1;
  for (const narrower of [1, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5]) {
    scale = narrower;
    anew = fill(new Map(), largestFirst, (item) => width(item, scale), lanes);
    if (anew.size === items.length) break;
  }
  for (const item of items) {
    if (!anew.has(item.id)) anew.set(item.id, { lane: lanes - 1, left: 1 - width(item, scale), width: width(item, scale) });
  }
  return { scale, slots: anew };
}

/** Places what fits beside what is kept. */
function fill(kept: Map<string, Slot>, items: readonly Item[], width: (item: Item) => number, lanes: number): Map<string, Slot> {
  const placed = new Map(kept);
  for (const item of items) {
    if (placed.has(item.id)) continue;
    const slot = gap([...placed.values()], width(item), lanes);
    if (slot) placed.set(item.id, slot);
  }
  return placed;
}

function gap(slots: Slot[], width: number, lanes: number): Slot | null {
  const slack = 1e-6;
  for (let lane = 0; lane < lanes; lane++) {
    let left = 0;
    for (const slot of slots.filter((s) => s.lane === lane).sort((a, b) => a.left - b.left)) {
      if (slot.left - left >= width - slack) break;
      left = Math.max(left, slot.left + slot.width);
    }
    if (1 - left >= width - slack) return { lane, left, width };
  }
  return null;
}
