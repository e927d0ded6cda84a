import { useMutation } from '@tanstack/react-query'
import { Dices } from 'lucide-react'
import { useState } from 'react'
import { newID } from '../../api/http'
import { fieldErrors, isStale } from '../../api/problem'
import type { User, UserSpec } from '../../api/types'
import { t } from '../../i18n'
import { ErrorNotice } from '../../ui/Blank'
import { Button } from '../../ui/Button'
import { Code } from '../../ui/Copy'
import { Dialog, FormFooter } from '../../ui/Dialog'
import { Checkbox, TextField } from '../../ui/Field'
import { toast } from '../../ui/toast'
import { createUser, makePassword, updateUser } from './api'
import { PrincipalPicker } from './PrincipalPicker'

export interface UserFormProps {
  user?: User
  /** A name to begin with. */
  name?: string
  onClose: () => void
  onDone?: (u: User) => void
}

/** Creates a user, or edits the one that is given. */
export function UserForm({ user, name: start, onClose, onDone }: UserFormProps) {
  const [name, setName] = useState(user?.name ?? start ?? '')
  const [fullName, setFullName] = useState(user?.fullName ?? '')
  const [password, setPassword] = useState('')
  const [made, setMade] = useState('')
  const [groups, setGroups] = useState(user?.groups ?? [])
  const [enabled, setEnabled] = useState(user?.enabled ?? true)
  const save = useMutation({
    mutationFn: () => {
      const body: UserSpec = { name: name.trim(), fullName, enabled, groups }
      if (!user) return createUser({ ...body, password }, newID())
      return updateUser(user, { fullName, enabled, groups }, newID())
    },
    onSuccess: (u) => {
      toast(user ? t.user.saved(u.name) : t.user.created(u.name))
      onClose()
      onDone?.(u)
    },
  })
  const errs = fieldErrors(save.error, ['name', 'fullName', 'password', 'groups', 'enabled'])
  return (
    <Dialog
      title={user ? t.user.editTitle(user.name) : t.user.create}
      onClose={onClose}
      busy={save.isPending}
      errorCount={Object.keys(errs.fields).length > 0 ? save.submittedAt : 0}
      onSubmit={() => save.mutate()}
      footer={<FormFooter submit={user ? t.common.save : t.user.createAction} busy={save.isPending} onClose={onClose} />}
    >
      <TextField
        label={t.user.name}
        name="name"
        value={name}
        onChange={setName}
        errors={errs.fields.name}
        hint={user ? t.user.nameStays : t.user.nameHint}
        readOnly={Boolean(user)}
        required
        autoFocus={!user && !start}
      />
      <TextField
        label={t.user.fullName}
        name="fullName"
        value={fullName}
        onChange={setFullName}
        errors={errs.fields.fullName}
        optional
        autoFocus={Boolean(start || user)}
      />
      {!user && (
        <NewPassword
          value={password}
          made={made}
          onChange={(v, m) => {
            setPassword(v)
            setMade(m)
          }}
          errors={errs.fields.password}
        />
      )}
      <PrincipalPicker
        only="group"
        label={t.group.plural}
        value={groups}
        onChange={setGroups}
        errors={errs.fields.groups}
      />
      <Checkbox label={t.user.enabled} hint={t.user.enabledHint} selected={enabled} onChange={setEnabled} />
      <ErrorNotice error={isStale(save.error) ? new Error(t.error.changedText) : save.error} extra={errs.rest} />
    </Dialog>
  )
}

function NewPassword(p: { value: string; made: string; onChange: (v: string, made: string) => void; errors?: string[] }) {
  const make = () => {
    const v = makePassword()
    p.onChange(v, v)
  }
  return (
    <div className="stack tight">
      <TextField
        label={t.user.password}
        name="password"
        value={p.value}
        onChange={(v) => p.onChange(v, v === p.made ? p.made : '')}
        errors={p.errors}
        autoComplete="new-password"
        secret
        required
      />
      {p.made ? (
        <>
          <Code text={p.made} label={t.common.copyThis(t.user.password)} />
          <p className="small muted">{t.user.madeHint}</p>
        </>
      ) : (
        <div>
          <Button size="sm" onPress={make}>
            <Dices aria-hidden /> {t.user.makePassword}
          </Button>
        </div>
      )}
    </div>
  )
}

/** Sets a user's password. */
export function PasswordForm({ user, onClose }: { user: User; onClose: () => void }) {
  const [password, setPassword] = useState('')
  const [made, setMade] = useState('')
  const save = useMutation({
    mutationFn: () => updateUser(user, { password }, newID()),
    onSuccess: () => {
      toast(t.user.passwordSaved(user.name))
      onClose()
    },
  })
  const errs = fieldErrors(save.error, ['password'])
  return (
    <Dialog
      title={t.user.passwordTitle(user.name)}
      onClose={onClose}
      busy={save.isPending}
      errorCount={errs.fields.password ? save.submittedAt : 0}
      onSubmit={() => save.mutate()}
      footer={<FormFooter submit={t.user.setPassword} busy={save.isPending} onClose={onClose} />}
    >
      <NewPassword
        value={password}
        made={made}
        onChange={(v, m) => {
          setPassword(v)
          setMade(m)
        }}
        errors={errs.fields.password}
      />
      <p className="small muted">{t.user.passwordHint}</p>
      <ErrorNotice error={isStale(save.error) ? new Error(t.error.changedText) : save.error} extra={errs.rest} />
    </Dialog>
  )
}
