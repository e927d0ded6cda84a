import type { Condition } from '../api/types'
import { t } from '../i18n'
import { SkeletonLines } from './Blank'
import { reasonRemedy, reasonTitle } from './reasons'
import { badWhenTrue, ConditionIcon } from './State'
import { Time } from './Time'

const order = ['Ready', 'Applied', 'Reachable', 'InSync', 'Degraded']

export function ConditionsCard({ conditions, generation }: { conditions?: Condition[]; generation?: number }) {
  const rank = (c: Condition) => (order.includes(c.type) ? order.indexOf(c.type) : order.length)
  const sorted = [...(conditions ?? [])].sort((a, b) => rank(a) - rank(b))
  return (
    <section className="card" aria-labelledby="conditions">
      <header>
        <h2 id="conditions">{t.condition.plural}</h2>
      </header>
      {!conditions ? (
        <div className="pad">{generation === undefined ? <SkeletonLines /> : <p className="muted">{t.condition.none}</p>}</div>
      ) : sorted.length === 0 ? (
        <p className="pad muted">{t.condition.none}</p>
      ) : (
        <ul className="conditions">
          {sorted.map((c) => (
            <ConditionRow key={c.type} c={c} generation={generation} />
          ))}
        </ul>
      )}
    </section>
  )
}

function ConditionRow({ c, generation }: { c: Condition; generation?: number }) {
  const names = t.condition.types as Record<string, string>
  const bad = badWhenTrue(c.type) ? c.status === 'True' : c.status === 'False'
  const remedy = bad ? reasonRemedy(c.reason) : undefined
  return (
    <li className="condition">
      <ConditionIcon status={c.status} type={c.type} />
      <div className="grow">
        <div className="row flow">
          <h3>{names[c.type] ?? c.type}</h3>
          <span className="small muted">
            {t.condition.status[c.status]} · <Time at={c.lastTransitionAt} />
          </span>
        </div>
        {c.message && <p className={bad ? 'wrap' : 'wrap muted'}>{c.message}</p>}
        {remedy && (
          <p className="wrap">
            <strong>{t.condition.remedy}</strong> {remedy}
          </p>
        )}
        <p className="small muted">
          <span title={reasonTitle(c.reason)} className="mono">
            {c.reason}
          </span>
          {generation !== undefined && c.observedGeneration < generation && <> · {t.condition.behind}</>}
        </p>
      </div>
    </li>
  )
}

