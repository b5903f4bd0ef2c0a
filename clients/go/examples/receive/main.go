package main

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	webhooks "github.com/keeptrusts/webhooks/clients/go"
)

func receive(response http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(response, request.Body, 1<<20))
	if err != nil {
		return
	}
	eventID, err := webhooks.Verify(request.Header, body, os.Getenv("WEBHOOK_SECRET"))
	var invalid *webhooks.VerificationError
	switch {
	case errors.As(err, &invalid):
		http.Error(response, invalid.Reason, http.StatusBadRequest)
	case err != nil:
		http.Error(response, "no secret", http.StatusInternalServerError)
	default:
		fmt.Println("received", eventID, string(body))
		response.WriteHeader(http.StatusNoContent)
	}
}

func main() {
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], http.HandlerFunc(receive))) // a proxy adds TLS
}
