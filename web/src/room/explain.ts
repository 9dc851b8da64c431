import type { Problem } from 'rollcall-client'
import { useI18n } from 'vue-i18n'

/** Why somebody cannot come in or had to go, in plain words, and what he can do. */
export interface Explanation {
  title: string
  advice: string
  /** Whether it makes sense to try again. */
  again: boolean
  /** Whether another token is needed for that. */
  token: boolean
}

// Trying again with the same words has the same answer.
const hopeless = ['bad_user_id', 'bad_conference_id', 'bad_client_type', 'unknown_conference', 'conference_ended', 'conference_deleted']
const ofToken = ['unauthorized', 'token_expired']

/** Explains a problem. What has no words of its own is a reason that whoever removed him gave. */
export function useExplain(): (problem: Problem) => Explanation {
  const { t, te } = useI18n()
  return (problem) => {
    const known = problem.code !== 'other' && te(`problem.${problem.code}.title`, 'en')
    return {
      title: known ? t(`problem.${problem.code}.title`) : t('problem.other.title', { reason: problem.code }),
      advice: known ? t(`problem.${problem.code}.advice`) : t('problem.other.advice'),
      again: !hopeless.includes(problem.code),
      token: ofToken.includes(problem.code),
    }
  }
}
