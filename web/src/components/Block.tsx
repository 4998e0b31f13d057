import { memo } from "../memo";
import type { Task } from "../api";
import { cpus, memory, short } from "../format";
import type { Slot } from "../pack";
import { lookOf } from "../state";

interface Props {
  task: Task;
  /** Where it is in its host; without one it flows with its neighbours. */
  slot?: Slot;
  colour: number | undefined;
  focus: string | null;
  /** It is gone from the cluster and fades. */
  gone?: boolean;
}

/** One task. */
export const Block = memo(function Block({ task, slot, colour, focus, gone }: Props) {
  const look = lookOf(task);
  const service = task.service || "standalone";
  const text = `${service} ${short(task.id)}, ${look}${task.protected ? ", protected" : ""}, ${cpus(task.cpu)} CPU, ${memory(task.memory)}`;
  const place = slot ? { left: `${slot.left * 100}%`, width: `${slot.width * 100}%`, top: `calc(${slot.lane} * var(--lane))` } : {};
  return (
    <li
      class={gone ? "block gone" : "block"}
      style={{ ...place, "--need": `${service.length * 6.6 + 4}px`, "--service": colour === undefined ? "var(--none)" : `var(--c${colour})`, "--on-service": colour === undefined ? "var(--on-none)" : `var(--on-c${colour})` }}
      {...(gone ? {} : { "data-testid": "task" })}
      data-service={service}
      data-status={task.lastStatus}
      data-look={look}
      data-protected={task.protected}
      data-dim={focus !== null && focus !== task.service}
      title={`${text}\n${task.id} ${task.lastStatus}`}
      aria-label={text}
      aria-hidden={gone}
    >
      <span aria-hidden="true">{service}</span>
      <span class="brief" aria-hidden="true">
        {service.slice(0, 2)}
      </span>
    </li>
  );
});
