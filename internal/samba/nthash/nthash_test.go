package nthash

import "testing"

func TestSum(t *testing.T) {
	// Well-known hashes; package passdb compares others with what Samba's pdbedit makes.
	for password, want := range map[string]string{
		"":         "31D6CFE0D16AE931B73C59D7E0C089C0",
		"password": "8846F7EAEE8FB117AD06BDD830B7586C",
	} {
		if got := Sum(password); got != want {
			t.Errorf("Sum(%q) = %s, want %s", password, got, want)
		}
	}
}
