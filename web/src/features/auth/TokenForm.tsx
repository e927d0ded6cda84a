import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { fieldErrors } from '../../api/problem'
import { queryClient } from '../../app/queries'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Code } from '../../ui/Copy'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { Checkbox, TextField } from '../../ui/Field'
import { Select } from '../../ui/Menu'
import { createToken, meQuery } from './api'

const privileges = [
  'Share.Audit',
  'Share.Modify',
  'Identity.Audit',
  'Identity.Modify',
  'Node.Audit',
  'Node.Modify',
  'Task.Audit',
  'Task.Modify',
  'Audit.Audit',
  'Auth.Audit',
  'Auth.Modify',
] as const
const lives = ['30', '90', '365', 'never'] as const

/** Makes an API token and shows it this once. */
export function TokenForm({ onClose }: { onClose: () => void }) {
  // Nobody can give more than they hold.
  const held = useQuery(meQuery).data?.privileges
  const [name, setName] = useState('')
  const [chosen, setChosen] = useState<string[]>(['Share.Audit'])
  const [life, setLife] = useState<string>('90')
  const make = useMutation({
    mutationFn: () =>
      createToken({
        name: name.trim(),
        privileges: chosen,
        expiresAt: life === 'never' ? undefined : new Date(Date.now() + Number(life) * 86_400_000).toISOString(),
      }),
    onSuccess: () => void queryClient.invalidateQueries({ queryKey: ['token'] }),
    gcTime: 0,
  })
  const errs = fieldErrors(make.error, ['name', 'privileges', 'expiresAt'])
  const token = make.data?.secret
  return (
    <Dialog
      title={token ? t.account.tokenMade : t.account.createToken}
      onClose={onClose}
      busy={make.isPending}
      errorCount={Object.keys(errs.fields).length > 0 ? make.submittedAt : 0}
      onSubmit={() => !token && make.mutate()}
      footer={
        token ? (
          <Button look="primary" onPress={onClose}>
            {t.common.done}
          </Button>
        ) : (
          <FormFooter
            submit={t.account.createToken}
            busy={make.isPending}
            disabled={chosen.length === 0}
            onClose={onClose}
          />
        )
      }
    >
      {token ? (
        <>
          <p>{t.account.tokenOnce}</p>
          <Code text={token} label={t.common.copyThis(t.account.token)} />
        </>
      ) : (
        <>
          <TextField
            label={t.account.tokenName}
            hint={t.account.tokenNameHint}
            name="name"
            value={name}
            onChange={setName}
            errors={errs.fields.name}
            required
            autoFocus
          />
          <fieldset className="choices">
            <legend className="field-label">{t.account.privileges}</legend>
            {privileges.filter((p) => !held || held.includes(p)).map((p) => (
              <Checkbox
                key={p}
                label={t.privileges[p]}
                hint={<code>{p}</code>}
                selected={chosen.includes(p)}
                onChange={(on) => setChosen(on ? [...chosen, p] : chosen.filter((c) => c !== p))}
              />
            ))}
            {errs.fields.privileges && <p className="form-error">{errs.fields.privileges.join(' ')}</p>}
          </fieldset>
          <Select
            label={t.account.lifetime}
            value={life}
            onChange={setLife}
            errors={errs.fields.expiresAt}
            options={lives.map((l) => ({ id: l, label: l === 'never' ? t.account.neverExpires : t.account.days(Number(l)) }))}
          />
        </>
      )}
      <ErrorNotice error={make.error} extra={errs.rest} />
    </Dialog>
  )
}
