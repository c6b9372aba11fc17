// Package damagetest is the proof that damage to a file does no harm beyond what is lost: no damage ends the process, damage that
// changes an answer is noticed, and nobody may do more than before, neither in the damaged file nor
// in what [github.com/latchbolt-go/latchbolt.Salvage] makes of it. It holds tests only.
package damagetest
