import { useMutation, useQuery } from '@tanstack/react-query'
import { CircleCheck } from 'lucide-react'
import { useState } from 'react'
import { newID } from '../../api/http'
import { fieldErrors } from '../../api/problem'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Code } from '../../ui/Copy'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { TextField } from '../../ui/Field'
import { exact } from '../../ui/Time'
import { enrol, nodesQuery } from './api'

/** Makes a one-time token, shows the command for the node, and says when the node has come. */
export function AddNode({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState('')
  const make = useMutation({ mutationFn: () => enrol(name.trim(), newID()) })
  const nodes = useQuery(nodesQuery)
  const errs = fieldErrors(make.error, ['name'])
  const e = make.data
  const arrived = nodes.data?.items.find((n) => n.name === name.trim() && n.status.phase === 'Online')
  return (
    <Dialog
      wide
      title={t.node.add}
      onClose={onClose}
      busy={make.isPending}
      errorCount={errs.fields.name ? make.submittedAt : 0}
      onSubmit={() => !e && make.mutate()}
      footer={
        e ? (
          <Button look="primary" onPress={onClose}>
            {t.common.done}
          </Button>
        ) : (
          <FormFooter submit={t.node.makeToken} busy={make.isPending} onClose={onClose} />
        )
      }
    >
      {e ? (
        <>
          <p>{t.node.runThis}</p>
          <Code text={e.command} label={t.common.copyThis(t.share.command)} />
          <p>{t.node.pasteToken}</p>
          <Code text={e.token} label={t.common.copyThis(t.node.token)} />
          <dl className="facts">
            <dt>{t.node.tokenExpires}</dt>
            <dd>{exact(e.expiresAt)}</dd>
            <dt>{t.node.fingerprint}</dt>
            <dd className="mono small">{e.fingerprint}</dd>
          </dl>
          <div className="notice" role="status">
            {arrived ? <CircleCheck className="good-text" aria-hidden /> : null}
            <p>{arrived ? t.node.arrived(arrived.name) : t.node.waiting}</p>
          </div>
        </>
      ) : (
        <>
          <p className="muted">{t.node.addText}</p>
          <TextField
            label={t.node.name}
            name="name"
            value={name}
            onChange={setName}
            errors={errs.fields.name}
            required
            autoFocus
          />
        </>
      )}
      <ErrorNotice error={make.error} extra={errs.rest} />
    </Dialog>
  )
}
