import { CircleX } from 'lucide-react'
import type { Task } from '../../api/types'
import { t } from '../../i18n'
import { State } from '../../ui/State'

/** How far a task is, and which of its items failed. */
export function TaskProgress({ task }: { task: Task }) {
  const failed = task.items?.filter((i) => !i.ok) ?? []
  return (
    <div className="stack">
      <div className="row">
        <State of={task.state} />
        <span className="grow truncate">{task.title || task.kind}</span>
        <span className="muted num small">{task.total > 0 && t.task.of(task.done, task.total)}</span>
      </div>
      <Bar task={task} />
      {task.message && <p className={task.state === 'failed' ? 'bad-text wrap' : 'muted wrap'}>{task.message}</p>}
      {failed.length > 0 && (
        <div className="stack tight">
          <h3>{t.task.failedItems(failed.length)}</h3>
          <ul className="failed-items">
            {failed.map((i, n) => (
              <li key={n} className="row">
                <CircleX className="bad-text" aria-hidden />
                <span className="wrap">
                  <strong>{i.name}</strong> {i.detail}
                </span>
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  )
}

export function Bar({ task }: { task: Task }) {
  const part = task.total > 0 ? task.done / task.total : task.state === 'done' ? 1 : 0
  return (
    <div
      className="progress"
      role="progressbar"
      aria-label={task.title || task.kind}
      aria-valuemin={0}
      aria-valuemax={task.total || 1}
      aria-valuenow={task.total ? task.done : part}
    >
      <div style={{ width: `${Math.round(part * 100)}%` }} />
    </div>
  )
}
