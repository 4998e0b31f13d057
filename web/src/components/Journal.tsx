import { memo } from "../memo";
import type { ClusterEvent, Decision } from "../api";
import { clock } from "../format";

interface Props {
  decisions: Decision[];
  events: ClusterEvent[];
  colours: Record<string, number>;
  focus: string | null;
}

/** What was decided and why, and what was seen to happen; newest first. */
export function Journal({ decisions, events, colours, focus }: Props) {
  const chosen = <T extends { service?: string }>(list: T[]) => (focus === null ? list : list.filter((l) => l.service === focus));
  const told = chosen(decisions);
  const seen = chosen(events);
  return (
    <aside class="journal">
      <section class="panel" aria-labelledby="decisions-title">
        <div class="panel-head">
          <h2 id="decisions-title">Decisions</h2>
          {focus !== null && <span class="note">{focus} only</span>}
        </div>
        <ol class="log" tabIndex={0} aria-labelledby="decisions-title">
          {told.length === 0 && <li class="empty">Nothing has had to change yet.</li>}
          {told.map((d) => (
            <DecisionLine key={d.seq} decision={d} colour={colours[d.service]} />
          ))}
        </ol>
      </section>
      <section class="panel" aria-labelledby="events-title">
        <div class="panel-head">
          <h2 id="events-title">Events</h2>
        </div>
        <ol class="log quiet" tabIndex={0} aria-labelledby="events-title">
          {seen.length === 0 && <li class="empty">Nothing has happened yet.</li>}
          {seen.map((e) => (
            <EventLine key={e.seq} event={e} colour={colours[e.service ?? ""]} />
          ))}
        </ol>
      </section>
    </aside>
  );
}

const tint = (colour: number | undefined) => ({ "--service": colour === undefined ? "var(--none)" : `var(--c${colour})` });

const DecisionLine = memo(function DecisionLine({ decision: d, colour }: { decision: Decision; colour: number | undefined }) {
  return (
    <li data-testid="decision" data-seq={d.seq} style={tint(colour)}>
      <p class="line-head">
        <time dateTime={d.at}>{clock(d.at)}</time>
        <i class="dot" aria-hidden="true" />
        <b>{d.service}</b>
        <span class="move" data-up={d.to > d.from}>
          {d.from} <span aria-label="to">→</span> {d.to}
        </span>
        {d.outcome !== "done" && <span class="badge warn">{d.outcome}</span>}
      </p>
      <p class="why">{d.reason}</p>
    </li>
  );
});

const EventLine = memo(function EventLine({ event: e, colour }: { event: ClusterEvent; colour: number | undefined }) {
  const bad = /failed|lost/.test(e.kind);
  return (
    <li data-testid="event" data-kind={e.kind} data-bad={bad} style={tint(colour)}>
      <p class="why">
        <time dateTime={e.at}>{clock(e.at)}</time>
        <i class="dot" aria-hidden="true" />
        {e.message}
      </p>
    </li>
  );
});
