import { t } from '../../i18n'

/** "share.created" -> "Created share"; an action without words stays as it is. */
export function actionWords(action: string): string {
  const [kind, verb] = action.split('.')
  const verbs = t.audit.verbs as Record<string, string>
  const kinds = t.audit.kinds as Record<string, string>
  if (!kind || !verb || !verbs[verb]) return action
  return t.audit.phrase(verbs[verb], kinds[kind] ?? kind)
}
