import { t } from '../../i18n'
import { diff } from './diff'

/** Before and after, field by field. */
export function DiffTable({ before, after }: { before?: unknown; after?: unknown }) {
  const rows = diff(before, after)
  if (rows.length === 0) return <p className="muted small">{t.audit.noChange}</p>
  return (
    <table className="diff">
      <thead>
        <tr>
          <th scope="col">{t.audit.field}</th>
          <th scope="col">{t.audit.before}</th>
          <th scope="col">{t.audit.after}</th>
        </tr>
      </thead>
      <tbody>
        {rows.map((r) => (
          <tr key={r.path}>
            <th scope="row" className="mono">
              {r.path}
            </th>
            <td className="mono">{r.before === undefined ? '—' : <del>{r.before}</del>}</td>
            <td className="mono">{r.after === undefined ? '—' : <ins>{r.after}</ins>}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}
