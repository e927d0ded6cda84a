import { useQuery } from '@tanstack/react-query'
import { t } from '../../i18n'
import { LoadError, SkeletonLines } from '../../ui/Blank'
import { Time } from '../../ui/Time'
import { historyQuery } from '../share/api'
import { actionWords } from './words'
import { DiffTable } from './DiffTable'

/** What happened to one object. */
export function History({ uid }: { uid: string }) {
  const h = useQuery(historyQuery(uid))
  if (h.isPending)
    return (
      <div className="pad">
        <SkeletonLines />
      </div>
    )
  if (h.isError && !h.data) return <LoadError error={h.error} retry={() => void h.refetch()} />
  const items = h.data?.items ?? []
  if (items.length === 0) return <p className="pad muted">{t.audit.noHistory}</p>
  return (
    <ol className="history">
      {items.map((e) => (
        <li key={e.seq}>
          <details>
            <summary>
              <span className="grow">
                <strong>{actionWords(e.action)}</strong> <span className="muted">{t.audit.by(e.actor?.name || t.audit.system)}</span>
              </span>
              <span className="small muted">
                <Time at={e.at} />
              </span>
            </summary>
            <DiffTable before={e.before} after={e.after} />
          </details>
        </li>
      ))}
    </ol>
  )
}
